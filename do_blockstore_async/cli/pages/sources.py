"""What a live page shows: the budget that this process takes part in, or a simulator's."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

from ..._clock import wall_s
from ..._export import visible
from ...errors import BlockStoreError
from ...events import (
    AttemptFinished,
    AttemptSent,
    Event,
    PeerJoined,
    PeerLost,
    SharedBudgetAway,
    SharedBudgetBack,
)
from ..output.terminal import redact
from ..output.text import window_name
from .runs import RunsUnderWay

if TYPE_CHECKING:
    from ... import QuotaStatus, Throttle
    from ...simulator import RequestRecord, Simulator

__all__ = ["BudgetSource", "SimulatorSource"]

_WAITING_ROWS: Final = 500
_LONGEST_TEXT: Final = 300


class _Source:
    """What both have: rows of what happened, and the runs under way."""

    def __init__(self, title: str, runs: RunsUnderWay) -> None:
        self.title = title
        self.happened: deque[dict[str, Any]] = deque(maxlen=_WAITING_ROWS)
        self.is_watched = False
        self._runs = runs
        self._requests = self._refused = self._failed = 0

    def _add(
        self,
        who: str,
        method: str,
        path: str,
        status: int | None,
        duration_s: float | None,
        note: str = "",
    ) -> None:
        self._requests += 1
        self._refused += status == 429
        self._failed += not status or status >= 500
        self.happened.append(
            {
                "at_s": wall_s(),
                "who": _shown(who),
                "method": _shown(method),
                "path": _shown(path),
                "status": status,
                "duration_s": duration_s,
                "note": _shown(note),
                "count": 1,
            }
        )

    def _note(self, text: str, *, count: int = 0, status: int | None = None) -> None:
        """Add a row that is about no single request."""
        self._requests += count
        self.happened.append(
            {
                "at_s": wall_s(),
                "who": "",
                "method": "",
                "path": "",
                "status": status,
                "duration_s": None,
                "note": _shown(text),
                "count": count,
            }
        )

    async def _common(self) -> dict[str, Any]:
        return {
            "at_s": wall_s(),
            "counts": {
                "requests": self._requests,
                "refused": self._refused,
                "failed": self._failed,
            },
            "runs": await self._runs.read(),
        }


def _shown(text: str) -> str:
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
    return redact(visible(cut))


class BudgetSource(_Source):
    """A token's budget as this process sees it; with a shared one, as all see it that share it.

    Give `on_event` to the client's hooks, and then its throttle to `watch`.

    Of this process each request is known. Of the others the ledger tells how many there were, who
    waits, and that the API refused one.
    """

    def __init__(self, runs: RunsUnderWay) -> None:
        super().__init__("Request budget", runs)
        self._throttle: Throttle | None = None
        self._waited_s: dict[tuple[int, int], float] = {}
        self._sent = 0
        self._before: QuotaStatus | None = None
        self._was_refused = False
        self._trouble = ""

    def watch(self, throttle: Throttle, host: str) -> None:
        """Show the budget of this client's throttle from now on."""
        self._throttle = throttle
        self.title = f"Request budget at {host}"

    def on_event(self, event: Event) -> None:
        """Take in what happens inside of the client."""
        if isinstance(event, AttemptSent):
            self._sent += 1
            self._waited_s[event.call_id, event.attempt] = event.waited_s
        elif isinstance(event, AttemptFinished):
            self._was_refused = self._was_refused or event.status == 429
            waited_s = self._waited_s.pop((event.call_id, event.attempt), 0.0)
            notes = [event.failure or ""]
            if waited_s >= 0.1:
                notes.append(f"waited {waited_s:.1f} s for the budget")
            self._add(
                "this process",
                event.method,
                event.route,
                event.status,
                max(0.0, event.duration_s - waited_s),
                "; ".join(filter(None, notes)),
            )
        elif isinstance(event, PeerJoined):
            self._note(f"{event.name} began to share the budget")
        elif isinstance(event, PeerLost):
            self._note(f"{event.name} has been silent for 15 s")
        elif isinstance(event, SharedBudgetAway):
            self._note(f"the store of the shared budget does not answer: {event.reason}")
        elif isinstance(event, SharedBudgetBack):
            self._note("the store of the shared budget answers again")

    def failed(self, reason: str) -> None:
        """The request that refreshes the budget has failed."""
        self._note(f"the budget could not be refreshed: {reason}")

    def _compare(self, status: QuotaStatus) -> None:
        """Tell what others have done since the last time, as far as the ledger knows it."""
        before, self._before = self._before, status
        own, self._sent = self._sent, 0
        was_refused, self._was_refused = self._was_refused, False
        if before is None:
            return
        is_shared = len(status.processes) > 1
        theirs = status.granted - before.granted - own
        if theirs > 0 and is_shared:
            what = "request of another process" if theirs == 1 else "requests of other processes"
            self._note(f"{theirs:,} {what}", count=theirs)
        if status.paused_for_s > max(1.0, before.paused_for_s):
            pause = f"nothing is sent for {status.paused_for_s:.0f} s"
            if was_refused or not is_shared:
                self._note(pause)
            else:
                self._refused += 1
                self._note(f"a request of another process was refused: {pause}", status=429)

    async def state(self) -> dict[str, Any]:
        """See `LiveSource.state`."""
        throttle = self._throttle
        if throttle is None:
            return await self._common()
        try:
            # First, since it counts what others have sent.
            budget = self._budget(throttle)
            return {**await self._common(), **budget}
        except BlockStoreError as error:
            # Such as a process that joined with other settings; the page says so, once.
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._note(self._trouble)
            return await self._common()

    def _budget(self, throttle: Throttle) -> dict[str, Any]:
        status = throttle.status()
        self._compare(status)
        why = {kind: throttle.explain(background=kind == "background").text for kind in _CLASSES}
        return {
            "budgets": [
                {
                    "name": "",
                    "windows": [
                        {
                            "name": window_name(window.length_s),
                            "limit": window.limit,
                            "used": window.used,
                            "others": window.used_by_others,
                            "reserved": window.reserved,
                            "remaining": window.remaining,
                            "next_free_in_s": window.next_free_in_s,
                            "all_free_in_s": window.all_free_in_s,
                        }
                        for window in status.windows
                    ],
                }
            ],
            "waiting": {
                "interactive": status.waiting - status.waiting_background,
                "background": status.waiting_background,
                "in_flight": status.in_flight,
                "why": why,
            },
            "processes": [
                {
                    "name": _shown(process.name),
                    "is_this": process.is_this,
                    "in_flight": process.in_flight,
                    "interactive": process.waiting - process.waiting_background,
                    "background": process.waiting_background,
                    "silent_s": process.silent_s,
                }
                for process in status.processes
            ],
        }


_CLASSES: Final = ("interactive", "background")


class SimulatorSource(_Source):
    """What a simulator's tokens have used of their budgets, and each request that arrives.

    Give `on_request` to the simulator as `observe`, and the simulator to `watch`.
    """

    def __init__(self, runs: RunsUnderWay) -> None:
        super().__init__("Simulator", runs)
        self._simulator: Simulator | None = None
        self._clients: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()

    def watch(self, simulator: Simulator) -> None:
        """Show this simulator from now on."""
        self._simulator = simulator
        self.title = f"Simulator at {simulator.url.split('//')[-1]}"

    def on_request(self, record: RequestRecord, duration_s: float, fault: str | None) -> None:
        """Take in one request."""
        notes = [record.refused or "", f"fault: {fault}" if fault else ""]
        target = record.target.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        who = record.token or "no valid token"
        self._clients[who] += 1
        self._refusals[who] += record.status == 429
        self._add(
            who,
            record.method,
            target,
            record.status or None,
            duration_s,
            "; ".join(filter(None, notes)),
        )

    async def state(self) -> dict[str, Any]:
        """See `LiveSource.state`."""
        simulator = self._simulator
        if simulator is None:
            return await self._common()
        now = simulator.clock.now()
        return {
            **await self._common(),
            "budgets": [
                {
                    "name": _shown(grant.name),
                    "windows": [
                        {
                            "name": window_name(window.seconds),
                            "limit": window.limit,
                            "used": window.used,
                            "others": 0,
                            "reserved": 0,
                            "remaining": max(0, window.limit - window.used),
                            "next_free_in_s": window.next_free_in_s,
                            "all_free_in_s": window.all_free_in_s,
                        }
                        for window in (() if grant.budget is None else grant.budget.usage(now))
                    ],
                }
                for grant in simulator.world.grants.values()
            ],
            "clients": [
                {"name": _shown(name), "requests": count, "refused": self._refusals[name]}
                for name, count in self._clients.most_common(20)
            ],
        }
