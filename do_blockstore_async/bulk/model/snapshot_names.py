"""Names of snapshots from a template: the same volume on the same day gets the same name.

Deterministic names make a job repeatable: a listing shows whether an item was done, so nothing has
to be done twice to be sure.

N1. A template holds known fields only; nothing of an object can be reached through it.
N2. `matches` accepts every name that `render` makes for that volume at any time, of that job.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from string import Formatter
from typing import Final

import attrs

from ...models import Volume
from ..errors import PlanError

__all__ = ["MAX_NAME", "TEMPLATE", "Template", "check_job", "check_own_tags", "job_tag"]

MAX_NAME: Final = 64
TEMPLATE: Final = "{volume}-{region}-{date}"
_JOB: Final = re.compile(r"[A-Za-z0-9_:-]{1,64}")
_JOB_TAG: Final = "bulk-job:"
_FIELDS: Final = ("volume", "volume_id", "region", "date", "time", "job")
_SPEC: Final = re.compile(r"\.[1-9][0-9]?")
_TIMES: Final = {"date": "0000-00-00", "time": "000000"}


def check_job(job: str) -> str:
    """Check a job's name, part of a tag: letters, digits, `_`, `-` and `:`, at most 64."""
    if not isinstance(job, str) or not _JOB.fullmatch(job):
        raise PlanError(
            "a job's name is part of a tag: letters, digits, _, - and :, at most 64 long; "
            f"not {job!r}"
        )
    return job


def job_tag(job: str) -> str:
    """Return the tag by which a job recognizes its snapshots; not one that is set by chance."""
    return _JOB_TAG + job


def check_own_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Reject tags that would make a job's snapshots those of another job."""
    for tag in tags:
        if tag.lower().startswith(_JOB_TAG):
            raise PlanError(f"{tag} marks the snapshots of a job, and is set by that job alone")
    return tags


@attrs.frozen
class Template:
    """A string with `{volume}`, `{volume_id}`, `{region}`, `{date}`, `{time}` and `{job}`.

    Dates are those of UTC, as 2026-11-23 and 231500. `{volume:.40}` takes the first 40 letters.

    Raises:
        PlanError: an unknown field, or invalid braces.
    """

    text: str
    _parts: tuple[tuple[str, str, str], ...] = attrs.field(init=False, repr=False, eq=False)

    @_parts.default
    def _parse(self) -> tuple[tuple[str, str, str], ...]:
        try:
            parsed = list(Formatter().parse(self.text))
        except (ValueError, TypeError):
            raise PlanError(f"not a template: {self.text!r}; braces must come in pairs") from None
        parts: list[tuple[str, str, str]] = []
        for literal, field, spec, conversion in parsed:
            if field is not None and field not in _FIELDS:
                known = ", ".join(f"{{{name}}}" for name in _FIELDS)
                raise PlanError(f"the template has no field {{{field}}}; it knows {known}")
            if conversion or (spec and not _SPEC.fullmatch(spec)):
                raise PlanError(f"in a template only {{{field}:.40}} is allowed, to shorten")
            parts.append((literal, field or "", spec or ""))
        if not any(field for _, field, _ in parts):
            raise PlanError("the template gives every volume the same name: use {volume} in it")
        return tuple(parts)

    def render(self, volume: Volume, at: datetime, job: str) -> str:
        """Return the name for a snapshot of `volume` taken at `at`.

        Raises:
            PlanError: the name is longer than 64 characters.
        """
        utc = at.astimezone(UTC)
        values = {
            "volume": volume.name,
            "volume_id": volume.id,
            "region": volume.region.slug,
            "date": utc.strftime("%Y-%m-%d"),
            "time": utc.strftime("%H%M%S"),
            "job": job,
        }
        name = "".join(
            literal + (format(values[field], spec) if field else "")
            for literal, field, spec in self._parts
        )
        if len(name) > MAX_NAME:
            raise PlanError(
                f"the name {name!r} has {len(name)} characters, at most {MAX_NAME} are allowed: "
                "shorten it in the template, as in {volume:.40}"
            )
        return name

    def matches(self, name: str, volume: Volume, job: str) -> bool:
        """Whether a snapshot of `volume` with that name was named by this template and job."""
        values = {
            "volume": volume.name,
            "volume_id": volume.id,
            "region": volume.region.slug,
            "job": job,
        }
        pattern = "".join(
            re.escape(literal)
            + (
                ""
                if not field
                else format(_TIMES[field], spec).replace("0", "[0-9]")
                if field in _TIMES
                else re.escape(format(values[field], spec))
            )
            for literal, field, spec in self._parts
        )
        return re.fullmatch(pattern, name, re.ASCII) is not None
