"""A volume that is attached for the time of a block.

A1. However the block ends, the volume is detached, or the exception says that it may not be.
A2. Who is cancelled while the attach is in flight waits for what becomes of it, and undoes it.
A3. Detaching has a time of its own, and nothing cancels it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from .._clock import Clock, run_to_completion
from .._deadline import Deadline, deadline_at, no_deadline
from ..errors import (
    ActionFailedError,
    BlockStoreError,
    NotFoundError,
    UnprocessableEntityError,
)
from ..models import Action

if TYPE_CHECKING:
    from ..events import Event

__all__ = ["Attachment"]


class Attachment(msgspec.Struct, kw_only=True, frozen=True):
    """What attaches a volume, and what detaches it.

    Attributes:
        volume_id: the volume.
        droplet_id: the Droplet's number.
        attach: begins to attach it.
        detach: detaches it, in `detach_timeout_s` seconds.
        wait: waits for the end of an action.
        clock: of the client.
        timeout_s: to attach it; None for none.
        detach_timeout_s: to detach it; None for none.
    """

    volume_id: str
    droplet_id: int
    attach: Callable[[], Coroutine[Any, Any, Action]]
    detach: Callable[[], Coroutine[Any, Any, Action]]
    wait: Callable[[Action], Coroutine[Any, Any, Action]]
    clock: Clock
    timeout_s: float | None
    detach_timeout_s: float | None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Action]:
        """Attach the volume for the time of a block; give the attach action, completed."""
        attach_by = Deadline.after(self.timeout_s, self.clock.monotonic())
        with deadline_at(attach_by.when()):
            action = await self._attach_for_certain()
        try:
            with deadline_at(attach_by.when()):
                action = await self.wait(action)
            yield action
        except BaseException as error:
            await self._undo(action, error)
            raise
        await run_to_completion(self._end(action))

    async def _attach_for_certain(self) -> Action:
        """Attach; where the caller is cancelled once it was sent, wait for it and undo it (A2)."""
        # Imported late: few programs need the events.
        from ..events import AttemptSent, observing

        is_sent = False

        def observe(event: Event) -> None:
            nonlocal is_sent
            is_sent = is_sent or isinstance(event, AttemptSent)

        with observing(observe):
            attaching = asyncio.ensure_future(self.attach())
        try:
            return await asyncio.shield(attaching)
        except asyncio.CancelledError as error:
            if not is_sent:
                attaching.cancel()
            await run_to_completion(_ended(attaching))
            if not attaching.cancelled() and attaching.exception() is None:
                await self._undo(attaching.result(), error)
            elif not attaching.cancelled():
                error.add_note(f"attaching volume {self.volume_id}: {attaching.exception()}")
            raise

    async def _undo(self, action: Action, error: BaseException) -> None:
        """Detach because of `error`, which says where that has failed."""
        try:
            await run_to_completion(self._end(action))
        except BlockStoreError as failure:
            error.add_note(
                f"volume {self.volume_id} may still be attached to Droplet {self.droplet_id}: "
                f"{failure}"
            )

    async def _end(self, action: Action) -> None:
        """Detach the volume, once it is known to be attached."""
        detach_by = Deadline.after(self.detach_timeout_s, self.clock.monotonic())
        with no_deadline(), deadline_at(detach_by.when()):
            try:
                # An attach that still goes on would be answered like one that never was.
                with suppress(ActionFailedError):
                    await self.wait(action)
                await self.detach()
            except UnprocessableEntityError as error:
                if error.refusal != "already":
                    raise
            except NotFoundError:
                pass  # the volume or the Droplet was deleted, so nothing is attached


async def _ended(task: asyncio.Future[Action]) -> None:
    await asyncio.wait([task])
