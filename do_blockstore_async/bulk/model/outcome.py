"""What became of one item of a bulk job. Pure."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeAlias, TypeVar

import attrs
import msgspec

__all__ = ["Ended", "Outcome", "Skip", "Status", "StepVerdict"]

T_co = TypeVar("T_co", covariant=True)

Status: TypeAlias = Literal["done", "skipped", "failed", "unknown"]


@attrs.frozen
class Outcome(Generic[T_co]):
    """What became of one item.

    Attributes:
        item: what was given: a `Step` of a plan, or an item of `map`.
        status: `done`; `skipped`, with the reason; `failed`, with the error; `unknown`: it may
            have taken effect or not, and `reason` says where to check.
        key: the step's key; for `map` the item's number, from 0.
        region: slug of the region, or empty.
        reason: why it is not `done`, in words.
        code: for `skipped`, the reason in one word, such as `exists`, `not_found`, `drifted` or
            `dependency_failed`.
        error: what was raised.
        value: what the operation returned.
        duration_s: seconds from its start to its end, the wait for quota included.
        resumed: it was found done when a journal was resumed; nothing was sent for it.
    """

    item: T_co
    status: Status
    key: str
    region: str = ""
    reason: str = ""
    code: str = ""
    error: BaseException | None = None
    value: Any = None
    duration_s: float = 0.0
    resumed: bool = False


class Ended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a journal and a report keep of an outcome."""

    status: Status
    reason: str = ""
    code: str = ""
    duration_s: float = 0.0

    @classmethod
    def of(cls, outcome: Outcome[Any]) -> Ended:
        """What is to be kept of it."""
        return cls(
            status=outcome.status,
            reason=outcome.reason,
            code=outcome.code,
            duration_s=outcome.duration_s,
        )


@attrs.frozen
class StepVerdict:
    """How a step ends, when that is known without its own request, or from the request's error."""

    status: Status
    code: str
    reason: str
    value: Any = None


class Skip(Exception):  # noqa: N818 -- a decision of the operation, not an error
    """Raise it in an operation of `map` to skip the item.

    Args:
        reason: why, in words.
        code: the same in one word.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
