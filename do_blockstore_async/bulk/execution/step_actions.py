"""What a run knows of each kind of step: how to do it, check it, reconcile it, read its error.

One class for each `StepAction`, because these four belong together: to add an action,
write one class (and its planner), and nothing else in the run changes. All but `execute` is
pure.

The guarantee of `detect_drift`: nothing is done to a volume or snapshot that, at the last reading
of the listing, was gone, had another name, region, size or state of attachment, was not selected
any more, or (when it is to be deleted) had lost a tag; no snapshot is deleted once the newest of
those that the retention kept is gone; and, by `check_dependency`, nothing is deleted that depends
on a snapshot of an earlier run that no longer exists. That reading is at most `max_plan_age_s`
before the run begins. What changes later is left to the API's own rejections: a volume attached
since is not deleted (409), one that is gone cannot be snapshotted (404), an existing name stays
taken (409).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import attrs

from ..._schema.validation import fold_tags
from ...errors import (
    BlockStoreError,
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    TransportError,
)
from ...resources.snapshots import matches_request as snapshot_matches
from ...resources.volumes import matches_request as volume_matches
from ..account import AccountView, AccountWriter
from ..errors import PlanError
from ..model.listed import AnyVolume, snapshot_of, volume_of
from ..model.outcome import StepVerdict
from ..model.plan import Step, StepAction
from ..model.selection import Selection

__all__ = ["HANDLERS", "StepHandler", "handler_of"]


class StepHandler:
    """The base of all actions: nothing drifts, nothing can be reconciled, every error is a failure.

    Attributes:
        trace: the listing that shows whether a step of this kind has taken effect.
        must_outlast_run: whether a step that depends on one of an earlier run may only start while
            what that one made is still there; then `check_dependency` is asked.
    """

    trace: Literal["volumes", "snapshots"] = "volumes"
    must_outlast_run = False

    async def execute(self, account: AccountWriter, steps: Sequence[Step]) -> Any:
        """Send the request that these steps share, and return its result."""
        raise NotImplementedError

    def detect_drift(
        self, step: Step, view: AccountView, selection: Selection
    ) -> StepVerdict | None:
        """Return why a step that was not started must not be started any more; None if it may."""
        raise NotImplementedError

    def reconcile_step(self, step: Step, view: AccountView) -> StepVerdict | None:
        """Return what became of a step in flight when its run ended; None: it must be repeated.

        Names and ids decide: whether the object is there says whether the step was done.
        """
        raise NotImplementedError

    def check_dependency(self, step: Step, view: AccountView) -> StepVerdict | None:
        """Return why nothing may depend on this step of an earlier run; None if it may."""
        return None

    def classify_error(self, error: Exception) -> StepVerdict:
        """Return what the error of its request means for a step: skipped, failed or unknown."""
        status: Literal["unknown", "failed"] = (
            "unknown" if isinstance(error, OutcomeUnknownError) else "failed"
        )
        return StepVerdict(status, "", _reason_of(error))


class _Creation(StepHandler):
    """What a taken name means for both kinds of creation."""

    def classify_error(self, error: Exception) -> StepVerdict:
        if isinstance(error, ConflictError):
            return StepVerdict("skipped", "exists", f"changed: {error.message}")
        return super().classify_error(error)


class _Deletion(StepHandler):
    """What errors mean for both kinds of deletion."""

    def classify_error(self, error: Exception) -> StepVerdict:
        if isinstance(error, NotFoundError):
            return StepVerdict("skipped", "not_found", "changed: it was deleted already")
        if _may_have_taken_effect(error):
            # Repeating a deletion by id is harmless, so the next run reads the account and repeats
            # it.
            return StepVerdict("unknown", "", _reason_of(error))
        return super().classify_error(error)


class _OfVolume(StepHandler):
    """An action on a volume that exists: all of them drift alike."""

    missing_code = "drifted"

    def detect_drift(
        self, step: Step, view: AccountView, selection: Selection
    ) -> StepVerdict | None:
        if view.volumes is None:
            return None
        volume = view.volumes.get(step.volume_id)
        if volume is None:
            if (step.volume_name, step.region) in view.volumes_by_name:
                return _drifted("another volume has its name now")
            return _drifted("the volume was deleted", self.missing_code)
        differences = self._differences(step, volume)
        if not differences and not selection.matches(volume):
            differences.append("it is not selected any more")
        return _drifted(", ".join(differences)) if differences else None

    def _differences(self, step: Step, volume: AnyVolume) -> list[str]:
        found: list[str] = []
        if volume.name != step.volume_name:
            found.append(f"its name is {volume.name} now")
        if volume.region.slug != step.region:
            found.append(f"it is in {volume.region.slug} now")
        if volume.size_gigabytes != step.size_gigabytes:
            found.append(f"it has {volume.size_gigabytes} GiB now, not {step.size_gigabytes:g}")
        if bool(volume.droplet_ids) != step.attached:
            found.append("it is not attached any more" if step.attached else "it is attached now")
        return found


class CreateSnapshot(_OfVolume, _Creation):
    """Take a snapshot of a volume."""

    trace = "snapshots"
    must_outlast_run = True

    async def execute(self, account: AccountWriter, steps: Sequence[Step]) -> Any:
        (step,) = steps
        return await account.snapshots.create(
            step.volume_id, step.name, tags=step.tags, timeout=account.timeout_s
        )

    def detect_drift(
        self, step: Step, view: AccountView, selection: Selection
    ) -> StepVerdict | None:
        drift = super().detect_drift(step, view, selection)
        if drift is None and (step.volume_id, step.name) in view.snapshots_by_name:
            return _drifted("a snapshot of that name is there now", "exists")
        return drift

    def reconcile_step(self, step: Step, view: AccountView) -> StepVerdict | None:
        found = view.snapshots_by_name.get((step.volume_id, step.name))
        if found is None:
            return None
        snapshot = snapshot_of(found)
        if not snapshot_matches(snapshot, {"tags": step.tags}):
            reason = "a snapshot of that name exists, without the tags of this job: check it"
            return StepVerdict("unknown", "", reason, snapshot)
        return StepVerdict("done", "", "", snapshot)

    def check_dependency(self, step: Step, view: AccountView) -> StepVerdict | None:
        # The journal knows that the snapshot was made, not whether it was deleted since.
        if (step.volume_id, step.name) in view.snapshots_by_name:
            return None
        return _drifted(f"the new snapshot {step.name} was deleted; plan again")

    def classify_error(self, error: Exception) -> StepVerdict:
        if isinstance(error, NotFoundError):
            return _drifted("the volume was deleted")
        if isinstance(error, RateLimitedError) and error.kind == "snapshot_cooldown":
            return StepVerdict("skipped", "cooldown", error.message)
        return super().classify_error(error)


class DeleteSnapshot(_Deletion):
    """Delete a snapshot."""

    trace = "snapshots"

    async def execute(self, account: AccountWriter, steps: Sequence[Step]) -> Any:
        (step,) = steps
        return await account.snapshots.delete(step.target_id, timeout=account.timeout_s)

    def detect_drift(
        self,
        step: Step,
        view: AccountView,
        selection: Selection,
    ) -> StepVerdict | None:
        if view.snapshots is None:
            return None
        snapshot = view.snapshots.get(step.target_id)
        if snapshot is None:
            return _drifted("the snapshot was deleted already", "not_found")
        if snapshot.name != step.name or snapshot.resource_id != step.volume_id:
            return _drifted(f"its name is {snapshot.name} now")
        if fold_tags(snapshot.tags) != fold_tags(step.tags):
            return _drifted("its tags have changed")
        if step.retained_snapshot_id and step.retained_snapshot_id not in view.snapshots:
            # The retention counted on it: without it this deletion could remove the last one.
            return _drifted("the newer snapshot that was to be kept was deleted; plan again")
        return None

    def reconcile_step(self, step: Step, view: AccountView) -> StepVerdict | None:
        is_gone = view.snapshots is not None and step.target_id not in view.snapshots
        return _DONE if is_gone else None


class DeleteVolume(_OfVolume, _Deletion):
    """Delete a volume with its data."""

    missing_code = "not_found"

    async def execute(self, account: AccountWriter, steps: Sequence[Step]) -> Any:
        (step,) = steps
        return await account.volumes.delete(step.target_id, timeout=account.timeout_s)

    def _differences(self, step: Step, volume: AnyVolume) -> list[str]:
        found = super()._differences(step, volume)
        if not fold_tags(step.tags) <= fold_tags(volume.tags):
            found.append("it lost the tag that this deletion requires")
        return found

    def reconcile_step(self, step: Step, view: AccountView) -> StepVerdict | None:
        is_gone = view.volumes is not None and step.target_id not in view.volumes
        return _DONE if is_gone else None

    def classify_error(self, error: Exception) -> StepVerdict:
        if isinstance(error, ConflictError):
            return StepVerdict("skipped", "attached", f"changed: {error.message}")
        return super().classify_error(error)


class CreateVolume(_Creation):
    """Create a volume from its spec."""

    async def execute(self, account: AccountWriter, steps: Sequence[Step]) -> Any:
        (step,) = steps
        return await account.volumes.create(**_fields(step), timeout=account.timeout_s)

    def detect_drift(
        self,
        step: Step,
        view: AccountView,
        selection: Selection,
    ) -> StepVerdict | None:
        if (step.name, step.region) in view.volumes_by_name:
            return _drifted("a volume of that name is there now", "exists")
        return None

    def reconcile_step(self, step: Step, view: AccountView) -> StepVerdict | None:
        found = view.volumes_by_name.get((step.name, step.region))
        if found is None:
            return None
        volume = volume_of(found)
        if not volume_matches(volume, _fields(step)):
            reason = "a volume of that name exists, but not as it was requested: check it"
            return StepVerdict("unknown", "", reason, volume)
        return StepVerdict("done", "", "", volume)


class TagVolume(_OfVolume):
    """Tag volumes, many in one request."""

    async def execute(self, account: AccountWriter, steps: Sequence[Step]) -> Any:
        await account.tag(steps[0].name, [step.target_id for step in steps])

    def detect_drift(
        self, step: Step, view: AccountView, selection: Selection
    ) -> StepVerdict | None:
        drift = super().detect_drift(step, view, selection)
        if drift is None and _carries(step, view) is True:
            return StepVerdict("done", "", "it has the tag already")
        return drift

    def reconcile_step(self, step: Step, view: AccountView) -> StepVerdict | None:
        return _DONE if _carries(step, view) is True else None


class UntagVolume(_OfVolume):
    """Take a tag from volumes, many in one request."""

    async def execute(self, account: AccountWriter, steps: Sequence[Step]) -> Any:
        await account.untag(steps[0].name, [step.target_id for step in steps])

    def detect_drift(
        self, step: Step, view: AccountView, selection: Selection
    ) -> StepVerdict | None:
        drift = super().detect_drift(step, view, selection)
        if drift is None and _carries(step, view) is False:
            return StepVerdict("done", "", "it does not have the tag any more")
        return drift

    def reconcile_step(self, step: Step, view: AccountView) -> StepVerdict | None:
        return _DONE if _carries(step, view) is False else None


HANDLERS: Final[Mapping[StepAction, StepHandler]] = {
    "create_snapshot": CreateSnapshot(),
    "delete_snapshot": DeleteSnapshot(),
    "delete_volume": DeleteVolume(),
    "create_volume": CreateVolume(),
    "tag_volume": TagVolume(),
    "untag_volume": UntagVolume(),
}
_DONE: Final = StepVerdict("done", "", "")


def handler_of(step: Step) -> StepHandler:
    """Return what the run knows of steps like this one."""
    return HANDLERS[step.action]


def _fields(step: Step) -> dict[str, Any]:
    """The fields of a create, for the request and for telling whether it was this one's."""
    if step.spec is None:
        raise PlanError(f"the plan does not say what to create in {step.key!r}: plan again")
    return attrs.asdict(step.spec)


def _drifted(what: str, code: str = "drifted") -> StepVerdict:
    return StepVerdict("skipped", code, f"changed: {what}")


def _carries(step: Step, view: AccountView) -> bool | None:
    """Whether the step's volume carries its tag; None if the volume was not found."""
    volume = (view.volumes or {}).get(step.target_id)
    return None if volume is None else step.name.lower() in fold_tags(volume.tags)


def _reason_of(error: Exception) -> str:
    return str(error) or type(error).__name__


def _may_have_taken_effect(error: Exception) -> bool:
    """Whether the request left and the response does not say what it did."""
    if isinstance(error, TransportError):
        return error.sent
    return isinstance(error, BlockStoreError) and (getattr(error, "status", None) or 0) >= 500
