"""The steps of a run that other workers of its journal share: which of them may be begun here.

Theory: a step is free while nothing is written of it beyond what was known when the account was
read. What another worker has begun is parked; so is what was in flight when a worker died, which is
in doubt. Once its request cannot arrive any more, one worker looks it up in the account, and puts
it into its queue again with what it has found.

W1. A step is begun here only if it is free, or this worker's own: as far as the journal is known,
    and once more in the exchange that claims it (`journal.py`, J2).
W2. `per_region` counts what all workers have in flight.
W3. Each step in doubt is looked up: by whoever joined first, and by the next ones only while that
    one has not done it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from ..._clock import Clock, boot_s, wait_for_event
from ..._context import Gate
from ...resources._ids import IdMap
from ..account import AccountReader
from ..concurrency.thread import in_thread
from ..model.plan import Plan, Step
from .executor import StepsTakenError
from .journal import Journal
from .resume import Remaining, examine
from .step_queue import RequestGroup, StepQueue

__all__ = ["SharedSteps"]

# A journal that is slow must not keep a permit of the budget for longer.
_CLAIM_S: Final = 5.0
# Steps in doubt that can be looked up within so many seconds share the listings.
_TOGETHER_S: Final = 2.0


class SharedSteps:
    """What a worker knows of the steps that it shares with others.

    Args:
        journal: of the run; opened.
        steps: the queue of what this worker is to do.
        account: where what became of steps in doubt is read.
        clock: of the client.
        per_region: most steps of a region in flight at once, those of all workers together.
        changed: called with this, after others have begun or ended something.

    Attributes:
        journal: as given.
    """

    def __init__(
        self,
        journal: Journal,
        steps: StepQueue,
        account: AccountReader,
        clock: Clock,
        *,
        per_region: int | None,
        changed: Callable[[SharedSteps], None],
    ) -> None:
        self.journal = journal
        self._steps = steps
        self._account = account
        self._clock = clock
        self._per_region = per_region
        self._changed = changed
        # By key: what is under way here, and what of it has taken room in its region.
        self._in_hand: set[str] = set()
        self._claimed: set[str] = set()
        self._regions: IdMap[str] = IdMap()
        # Steps that other workers have begun, or that are in doubt, by key.
        self._parked: set[str] = set()
        # Up to where the journal was known when the account was read: for all steps, and for those
        # that were looked up later.
        self._known = 0
        self._known_of: dict[str, int] = {}
        # Since when they have been in doubt, on the loop's clock, by key.
        self._doubtful_since: dict[str, float] = {}
        self._dependencies: Mapping[str, Step] = {}
        self._is_account_known = False
        self._is_stopped = False
        self._stirred = asyncio.Event()
        journal.changed = self._on_change

    async def start(self, plan: Plan, remaining: Remaining, known: int) -> None:
        """Take over what is known once the account was read, and what others did meanwhile.

        Args:
            plan: of the run.
            remaining: what is to be done, as far as the journal was known at `known`.
            known: the journal's position when that was begun to be found out.
        """
        self._known = known
        self._parked.update(remaining.parked)
        self._dependencies = remaining.dependencies
        self._is_account_known = remaining.is_account_known

        def touched() -> Collection[str]:
            if self._per_region is not None:
                self._regions.update((step.key, step.region) for step in plan.steps)
            return self.journal.state.touched_since(known)

        changed = await in_thread(touched)
        self._on_change([key for key in changed if key in self._steps.open])

    def stop(self) -> None:
        """Claim nothing any more, and look nothing up."""
        self._is_stopped = True
        self._stirred.set()

    async def close(self) -> None:
        """Leave the journal."""
        await self.journal.close()
        # The run holds this, and this the run's method: in such a circle, the run would be there
        # until the garbage collector comes.
        self._changed = lambda shared: None

    def _on_change(self, keys: Collection[str]) -> None:
        """Take over what others began or ended; `keys` says of which steps."""
        state, steps = self.journal.state, self._steps
        for key in keys:
            finished = state.finished.get(key)
            if finished is not None:
                self._parked.discard(key)
                steps.record_end(key, finished)
            else:
                steps.reopen(key)
                if key in steps.open:
                    self._parked.add(key)
        self._changed(self)
        self._stirred.set()

    # What may be begun here.

    def may(self, key: str) -> bool:
        """Whether a step may be begun or ended here, as far as the journal is known."""
        state, mine = self.journal.state, self.journal.mine
        known = self._known_of.get(key, self._known)
        is_free = key not in self._parked and state.is_untouched(key, known)
        return is_free or state.is_mine(key, mine)

    def take(self, group: RequestGroup) -> RequestGroup:
        """Take in hand, and return, what of a group is free: others may have begun it meanwhile."""
        free = tuple(step for step in group if step.key not in self._in_hand and self.may(step.key))
        self._in_hand.update(step.key for step in free)
        return free

    def let_go(self, group: RequestGroup) -> None:
        """Have steps in hand no longer: they have ended, or wait for another attempt."""
        self._in_hand.difference_update(step.key for step in group)
        self.unclaim(group)
        self._stirred.set()

    def unclaim(self, group: Iterable[Step]) -> None:
        """Give back the room in their regions that steps have taken."""
        self._claimed.difference_update(step.key for step in group)

    def gate(self, keys: Sequence[str]) -> Gate:
        """Claim steps once their permit is granted: a step may wait for that for an hour."""
        is_first = True

        async def claim() -> Callable[[], bool]:
            nonlocal is_first
            if self._is_stopped:
                raise StepsTakenError
            began_s = boot_s()
            try:
                # Once something was sent, only the engine knows what may have become of it.
                async with asyncio.timeout(_CLAIM_S if is_first else None):
                    granted = await self.journal.claim(keys, self._may_begin)
            except TimeoutError:
                granted = ()
            if len(granted) < len(keys):
                raise StepsTakenError
            is_first = False
            until_s = began_s + self.journal.timing.send_within_s
            return lambda: boot_s() > until_s

        return claim

    def _may_begin(self, key: str) -> bool:
        """Whether a step may be begun now; its room in the region is taken with it."""
        is_mine = self.journal.state.is_mine(key, self.journal.mine)
        if is_mine or (self.may(key) and self._has_room(key)):
            self._claimed.add(key)
            return True
        return False

    def _has_room(self, key: str) -> bool:
        """Whether `per_region` allows one more step, those of other workers counted."""
        if self._per_region is None:
            return True
        state, mine, region = self.journal.state, self.journal.mine, self._regions[key]
        busy = {other for other in state.in_flight if state.is_held(other, mine)} | self._claimed
        return sum(self._regions[other] == region for other in busy - {key}) < self._per_region

    async def wait_for_room(self, key: str) -> None:
        """Wait where a permit of the budget could not be used: for room, or for the journal."""
        journal = self.journal
        while journal.broken is None and (journal.is_away or not self._has_room(key)):
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLAIM_S):
                    await journal.next_change()

    # What is in doubt.

    async def settle(self, plan: Plan) -> None:
        """Look up what became of steps in doubt, until stopped; put them into the queue again.

        Raises:
            BlockStoreError: the account could not be read.
        """
        steps = await in_thread(lambda: IdMap((step.key, step) for step in plan.steps))
        while not self._is_stopped:
            self._stirred.clear()
            due, wait_s = self._due()
            if wait_s > 0:
                await wait_for_event(self._stirred, wait_s)
            else:
                await self._look_up(plan, [steps[key] for key in due])

    async def _look_up(self, plan: Plan, chosen: Sequence[Step]) -> None:
        state = self.journal.state
        known = state.position
        verdicts = await examine(
            plan,
            chosen,
            {step.key for step in chosen},
            self._dependencies,
            state,
            self._account,
            is_account_known=self._is_account_known,
        )
        self._is_account_known = True
        # What another worker has taken meanwhile stays parked.
        free = [step for step in chosen if state.is_untouched(step.key, known)]
        for step in free:
            self._known_of[step.key] = known
            self._parked.discard(step.key)
        self._steps.add(free, verdicts)

    def _due(self) -> tuple[list[str], float]:
        """Return the steps in doubt that this worker is to look up next, and in how many seconds.

        One worker's look is enough: whoever joined first begins, the others give it time. Those of
        one moment are looked up together.
        """
        journal, now_s = self.journal, self._clock.monotonic()
        state, mine = journal.state, journal.mine
        self._doubtful_since = {
            key: self._doubtful_since.get(key, now_s)
            for key in self._parked
            if key in self._steps.open and key not in self._in_hand and not state.is_held(key, mine)
        }
        turn = list(state.present).index(mine[-1]) if journal.is_present else 1
        in_s = {
            key: max(journal.remaining_s(key), since_s + turn * journal.timing.silent_s - now_s)
            for key, since_s in self._doubtful_since.items()
        }
        first_s = min(in_s.values(), default=math.inf)
        due = {key: wait_s for key, wait_s in in_s.items() if wait_s <= first_s + _TOGETHER_S}
        return list(due), max(due.values(), default=math.inf)

    def elsewhere(self) -> tuple[int, list[float]]:
        """Return how many steps other workers have begun, and the delays of those in doubt.

        A delay is in seconds: until the request of a step cannot arrive any more, and what became
        of it may be looked up; negative if that is past.
        """
        journal = self.journal
        parked = [key for key in self._parked if key in self._steps.open]
        doubtful = [key for key in parked if not journal.state.is_held(key, journal.mine)]
        return len(parked) - len(doubtful), [journal.remaining_s(key) for key in doubtful]
