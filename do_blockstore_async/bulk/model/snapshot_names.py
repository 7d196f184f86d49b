"""Names of snapshots from a template: the same volume on the same day gets the same name.

Deterministic names make a job repeatable: a listing shows whether an item was done, so nothing has
to be done twice to be sure.

N1. A template holds known fields only; nothing of an object can be reached through it.
N2. `matches` accepts every name that `render` and `with_time` make for that volume at any time, of
    that job.

Pure: no clock, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from itertools import takewhile
from string import Formatter
from typing import Final

import attrs

from ..errors import PlanError
from .listed import AnyVolume

__all__ = ["TEMPLATE", "Template", "check_job", "check_own_tags", "is_job_tag", "job_tag"]

TEMPLATE: Final = "{volume}-{region}-{date}"
_JOB: Final = re.compile(r"[A-Za-z0-9_:-]{1,64}")
_JOB_TAG: Final = "bulk-job:"
_FIELDS: Final = ("volume", "volume_id", "region", "date", "time", "job")
_SPEC: Final = re.compile(r"\.[1-9][0-9]?")
_APPENDED_TIME: Final = "-[0-9]{6}"
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


def is_job_tag(tag: str) -> bool:
    """Whether a tag marks the snapshots of some job."""
    return tag.lower().startswith(_JOB_TAG)


def check_own_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    """Reject tags that would make a job's snapshots those of another job."""
    for tag in tags:
        if is_job_tag(tag):
            raise PlanError(f"{tag} marks the snapshots of a job, and is set by that job alone")
    return tags


@attrs.frozen
class Template:
    """A string with `{volume}`, `{volume_id}`, `{region}`, `{date}`, `{time}` and `{job}`.

    Dates and times are written as 2026-11-23 and 231500. `{volume:.40}` takes the first 40 letters.

    Args:
        text: the template.
        zone: the time zone of the dates and times.

    Raises:
        PlanError: an unknown field, or invalid braces.
    """

    text: str
    zone: tzinfo = UTC
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

    def render(self, volume: AnyVolume, at: datetime, job: str) -> str:
        """Return the name for a snapshot of `volume` taken at `at`, of any length."""
        return self.renderer(at, job)(volume)

    def renderer(self, at: datetime, job: str) -> Callable[[AnyVolume], str]:
        """Return what renders the names of snapshots taken at `at`: `render`, for many volumes."""
        local = at.astimezone(self.zone)
        fixed = {
            "date": local.strftime("%Y-%m-%d"),
            "time": local.strftime("%H%M%S"),
            "job": job,
        }

        def render(volume: AnyVolume) -> str:
            values = {
                **fixed,
                "volume": volume.name,
                "volume_id": volume.id,
                "region": volume.region.slug,
            }
            return "".join(
                [
                    literal + (format(values[field], spec) if field else "")
                    for literal, field, spec in self._parts
                ]
            )

        return render

    def with_time(self, name: str, at: datetime) -> str:
        """Return a rendered name with the time behind it, for when the name alone is taken."""
        return f"{name}-{at.astimezone(self.zone):%H%M%S}"

    def has(self, *fields: str) -> bool:
        """Whether the template holds all of these fields."""
        return {field for _, field, _ in self._parts} >= set(fields)

    def matches(self, name: str, volume: AnyVolume, job: str) -> bool:
        """Whether a snapshot of `volume` with that name was named by this template and job."""
        values = {
            "volume": volume.name,
            "volume_id": volume.id,
            "region": volume.region.slug,
            "job": job,
        }
        # Most names fail here already, without a pattern of their own.
        head = "".join(
            literal + (format(values[field], spec) if field else "")
            for literal, field, spec in takewhile(lambda part: part[1] not in _TIMES, self._parts)
        )
        if not name.startswith(head):
            return False
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
        return re.fullmatch(f"(?:{pattern})(?:{_APPENDED_TIME})?", name, re.ASCII) is not None

    def is_of(self, name: str, rendered: str) -> bool:
        """Whether a name is the rendered one, or that one with a time behind it."""
        if not name.startswith(rendered):
            return False
        return re.fullmatch(f"(?:{_APPENDED_TIME})?", name[len(rendered) :], re.ASCII) is not None
