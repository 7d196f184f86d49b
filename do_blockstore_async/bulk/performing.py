"""One step, carried out: which call it is, and what its answer or error means.

Every request goes through the managers or the engine itself; nothing here sends twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import attrs

from ..errors import (
    BlockStoreError,
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestTimeoutError,
    TransportError,
)
from ..resources.snapshots import Snapshots
from ..resources.volumes import Volumes
from ..wire.codec import Codec
from ..wire.engine import Engine
from ..wire.messages import Request
from .outcome import Outcome
from .plan import Step
from .recheck import Finding

__all__ = ["Performer", "outcome_of", "verdict_of"]

# A step waits as long as the budget needs, also where each call of a service has a short timeout.
_PATIENCE_S: Final = 86_400.0


class Performer:
    """Carries out the steps of one run.

    Scopes: those of the calls: `block_storage_snapshot:create` and `:delete`,
    `block_storage:create` and `:delete`, `tag:create` and `tag:delete`.
    """

    def __init__(
        self, engine: Engine, codec: Codec, volumes: Volumes, snapshots: Snapshots
    ) -> None:
        self._engine = engine
        self._codec = codec
        self._volumes = volumes
        self._snapshots = snapshots
        self._timeout_s = None if engine.config.timeout_s is None else _PATIENCE_S
        self._tags: set[str] = set()
        self._tagging = asyncio.Lock()

    async def perform(self, steps: Sequence[Step]) -> list[Outcome[Step]]:
        """Carry out steps that share a request; mostly that is one step.

        Returns:
            An outcome for each, whatever happens; only cancellation is raised.
        """
        clock = self._engine.clock
        began = clock.monotonic()
        try:
            value, gone = await self._call_for_those_there(steps)
        except Exception as error:  # noqa: BLE001 -- of whatever kind, it is the steps' outcome
            took_s = clock.monotonic() - began
            return [outcome_of(step, verdict_of(step, error), error, took_s) for step in steps]
        took_s = clock.monotonic() - began
        vanished = Finding("skipped", "not_found", "changed: the volume is gone")
        return [
            outcome_of(step, vanished, took_s=took_s)
            if step in gone
            else Outcome(step, "done", step.key, step.region, value=value, duration_s=took_s)
            for step in steps
        ]

    async def _call_for_those_there(self, steps: Sequence[Step]) -> tuple[Any, list[Step]]:
        """The value, and which steps of a batch were left out because their volume is gone.

        One volume that is gone makes the API refuse the whole batch: then the volumes are read
        again, and it is repeated with those that are there.
        """
        live = list(steps)
        while live:
            try:
                return await self._call(live), [step for step in steps if step not in live]
            except NotFoundError:
                if not steps[0].batch:
                    raise
                there = {volume.id async for volume in self._volumes.list(timeout=self._timeout_s)}
                left = [step for step in live if step.target_id in there]
                if len(left) == len(live):
                    raise
                live = left
        return None, list(steps)

    async def _call(self, steps: Sequence[Step]) -> Any:
        step, timeout_s = steps[0], self._timeout_s
        if step.action == "create_snapshot":
            return await self._snapshots.create(
                step.volume_id, step.name, tags=step.tags, timeout=timeout_s
            )
        if step.action == "delete_snapshot":
            return await self._snapshots.delete(step.target_id, timeout=timeout_s)
        if step.action == "delete_volume":
            return await self._volumes.delete(step.target_id, timeout=timeout_s)
        if step.spec is not None:
            wanted = attrs.asdict(step.spec)
            return await self._volumes.create(**wanted, timeout=timeout_s)
        return await self._tag(steps)

    async def _tag(self, steps: Sequence[Step]) -> None:
        """Tag or untag many volumes in one request; a tag is made before it is first set."""
        name = steps[0].name
        sets = steps[0].action == "tag_volume"
        if sets:
            async with self._tagging:
                if name not in self._tags:
                    await self._send("POST", "/v2/tags", "/v2/tags", {"name": name})
                    self._tags.add(name)
        resources = [{"resource_id": s.target_id, "resource_type": "volume"} for s in steps]
        await self._send(
            "POST" if sets else "DELETE",
            f"/v2/tags/{name}/resources",
            "/v2/tags/{tag}/resources",
            {"resources": resources},
        )

    async def _send(self, method: str, path: str, route: str, json: Any) -> None:
        request = Request(
            method=method,
            path=path,
            route=route,
            decode=self._codec.nothing,
            json=json,
            # A tag that is there already is simply set once more.
            idempotent=True,
            scopes=("tag:create",) if method == "POST" else ("tag:delete",),
        )
        await self._engine.call(request, timeout=self._timeout_s)


def verdict_of(step: Step, error: Exception) -> Finding:
    """What an error means for a step: skipped, failed or unknown."""
    reason = str(error) or type(error).__name__
    if isinstance(error, OutcomeUnknownError):
        return Finding("unknown", "", reason)
    if isinstance(error, NotFoundError):
        if step.is_destructive:
            return Finding("skipped", "not_found", "changed: it is gone already")
        if step.action == "create_snapshot":
            return Finding("skipped", "drifted", "changed: the volume is gone")
    if isinstance(error, ConflictError):
        if step.action == "delete_volume":
            return Finding("skipped", "attached", f"changed: {error.message}")
        if step.action in {"create_snapshot", "create_volume"}:
            return Finding("skipped", "exists", f"changed: {error.message}")
    if isinstance(error, RateLimitedError) and error.kind == "snapshot_cooldown":
        return Finding("skipped", "cooldown", error.message)
    if (
        isinstance(error, TransportError | RequestTimeoutError)
        and error.sent
        and step.is_destructive
    ):
        # It may be gone or not; repeating a deletion by id harms nobody, so a resume looks.
        return Finding("unknown", "", reason)
    if isinstance(error, BlockStoreError) and _server_failed(error) and step.is_destructive:
        return Finding("unknown", "", reason)
    return Finding("failed", "", reason)


def _server_failed(error: BlockStoreError) -> bool:
    return getattr(error, "status", 0) >= 500


def outcome_of(
    step: Step,
    verdict: Finding,
    error: Exception | None = None,
    took_s: float = 0.0,
    *,
    resumed: bool = False,
) -> Outcome[Step]:
    """The outcome of a step of which this was found; `resumed`: without a request of this run."""
    return Outcome(
        step,
        verdict.status,
        step.key,
        step.region,
        verdict.reason,
        verdict.code,
        error,
        verdict.value,
        took_s,
        resumed=resumed,
    )
