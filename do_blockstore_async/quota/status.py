"""What `store.quota` shows: a snapshot of the budget, as one frozen value."""

from __future__ import annotations

import attrs

__all__ = ["QuotaStatus", "WindowStatus"]


@attrs.frozen
class WindowStatus:
    """One window of the budget.

    Attributes:
        limit: requests allowed in `length_s` seconds.
        used: slots we hold, requests in flight included.
        others: what others use of it, estimated from the answers' headers.
        reserved: slots background requests leave to interactive ones.
    """

    limit: int
    length_s: float
    used: int
    others: int
    reserved: int

    @property
    def remaining(self) -> int:
        """Slots still free for interactive requests."""
        return max(0, self.limit - self.used - self.others)


@attrs.frozen
class QuotaStatus:
    """The budget of one token, as this process knows it.

    Attributes:
        windows: from the shortest to the longest.
        remaining: requests that could leave at once, were they interactive and not paced.
        waiting: permits asked for and not yet granted, background ones included.
        waiting_background: of these, the background ones.
        in_flight: requests sent and not yet answered.
        paused_for_s: seconds until a pause ends; 0 when there is none.
        probing: whether the server said that nothing is left, and single requests ask for more.
        next_free_s: seconds until an interactive request asked for now could leave.
        granted, done, lost, unused: permits since the start; granted = in flight + the others.
    """

    windows: tuple[WindowStatus, ...]
    remaining: int
    waiting: int
    waiting_background: int
    in_flight: int
    paused_for_s: float
    probing: bool
    next_free_s: float
    granted: int
    done: int
    lost: int
    unused: int

    @property
    def limit(self) -> int:
        """The limit of the longest window: requests in an hour."""
        return self.windows[-1].limit

    @property
    def used(self) -> tuple[int, ...]:
        """Slots we hold in each window, from the shortest to the longest."""
        return tuple(window.used for window in self.windows)
