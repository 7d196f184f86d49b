"""Which limits are in force: the configured ones, or others that the server announced. Pure.

A raised limit raises every window in proportion; DigitalOcean's minute is 5 % of the hour. It is
adopted from a server that has announced the configured limit before, or where the configured hour
is the documented one: a smaller configured limit than the server allows is deliberate. A
raise beyond twenty times the configured limit is treated as an error of the server.

A lowered limit needs no adopting to be kept, since `ratelimit-remaining` sees to that; it is
adopted under the same condition, so that status, reserve and forecast show it. The shorter windows
keep theirs: nothing says that they shrink.

A 429 that comes while we hold more than the configured limit of a window shows that the raise was
wrong there: it is given back, and the same announcement is not believed for that window again.
"""

from __future__ import annotations

from ...config import Config
from .window import Window

__all__ = ["Limits"]

_DOCUMENTED = (5000, 3600.0)
_LARGEST_RAISE = 20


class Limits:
    """Adopts announced limits into `windows` and gives them back.

    Attributes:
        changes: (limit, previous, reason) of the longest window, to be reported and then cleared.
    """

    __slots__ = ("_announced", "_base", "_distrusted", "_matched", "_windows", "changes")

    def __init__(self, config: Config, windows: list[Window]) -> None:
        self._base = config.windows
        self._windows = windows
        self._matched = config.windows[-1] == _DOCUMENTED
        self._announced = config.windows[-1][0]
        self._distrusted: set[tuple[int, int]] = set()
        self.changes: list[tuple[int, int, str]] = []

    def announce(self, announced: int) -> bool:
        """Take in that the server announces `announced` requests for the longest window.

        Returns:
            Whether that is plausible; if not, it changes nothing.
        """
        configured = self._base[-1][0]
        if announced == self._announced:
            self._matched = self._matched or announced == configured
            return True
        if self._matched and announced > configured * _LARGEST_RAISE:
            return False
        if announced == configured:
            self._matched = True
        if not self._matched:
            return True
        self._announced = announced
        longest = self._windows[-1]
        previous = longest.limit
        for index, window in enumerate(self._windows):
            limit = base = self._base[index][0]
            if (index, announced) not in self._distrusted:
                limit = max(base, base * announced // configured)
                if window is longest:
                    limit = announced
            window.resize(limit)
        if longest.limit != previous:
            self.changes.append((longest.limit, previous, "announced"))
        return True

    def give_back(self, index: int, held: int, reason: str) -> None:
        """Take back a raise, since a 429 came while we held `held` slots of window `index`."""
        window, base = self._windows[index], self._base[index][0]
        if window.limit <= base or held < base:
            return
        previous = self._windows[-1].limit
        window.resize(base)
        self._distrusted.add((index, self._announced))
        self.changes.append((self._windows[-1].limit, previous, reason))
