"""Check arguments before anything is sent: an invalid one costs no request.

Rejected is only what the API is documented or known to reject, and only where it could do harm:
names are checked on create (old volumes carry `_` and `.`), ids always, because an id becomes
part of a URL and joining paths is no protection (`/v2/volumes/../droplets/1` is a droplet).

Pure: no clock, no I/O.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, Final

from ..errors import InvalidArgumentError
from ..models import Action, Region, Volume, VolumeSnapshot

__all__ = [
    "MAX_SNAPSHOT_NAME",
    "check_action_id",
    "check_description",
    "check_droplet_id",
    "check_filesystem",
    "check_id",
    "check_per_page",
    "check_region",
    "check_size",
    "check_snapshot_id",
    "check_snapshot_name",
    "check_tags",
    "check_text",
    "check_volume_id",
    "check_volume_name",
    "fold_tags",
    "shown",
]

# The route takes nothing else: github.com/digitalocean/openapi, issues 52 and 53.
_ID: Final = re.compile(r"[0-9a-fA-F-]{1,64}")
_VOLUME_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_REGION: Final = re.compile(r"[a-z0-9-]{1,32}")
_TAG: Final = re.compile(r"[\w:.-]{1,255}")
_LABEL_LENGTH: Final = {"ext4": 16, "xfs": 12}
MAX_SIZE_GIGABYTES: Final = 16 * 1024
MAX_PER_PAGE: Final = 200
MAX_SNAPSHOT_NAME: Final = 255


def check_id(value: str, what: str) -> str:
    """Check an id as the routes take it: hexadecimal digits and hyphens."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise InvalidArgumentError(f"not a {what}: {shown(value)}")
    return value


def shown(value: Any) -> str:
    """Show an argument that is wrong, with what would be right if a mistake is plain to see."""
    if inspect.iscoroutine(value):
        value.close()  # it will not be awaited any more
        return "a coroutine; write `await` before the call that made it"
    if hasattr(value, "__await__"):
        return f"{value!r}; write `await` before it"
    return repr(value)


def check_volume_id(value: str | Volume) -> str:
    """Return the id of a volume, given as it is or as the volume."""
    if isinstance(value, VolumeSnapshot):
        raise InvalidArgumentError(f"a volume or its id is wanted here, not {value!r}")
    return check_id(value.id if isinstance(value, Volume) else value, "volume id")


def check_snapshot_id(value: str | VolumeSnapshot) -> str:
    """Return the id of a snapshot, given as it is or as the snapshot."""
    if isinstance(value, Volume):
        raise InvalidArgumentError(f"a snapshot or its id is wanted here, not {value!r}")
    return check_id(value.id if isinstance(value, VolumeSnapshot) else value, "snapshot id")


def _check_positive_int(value: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidArgumentError(f"{what} must be a positive whole number, not {shown(value)}")
    return value


def check_action_id(value: int | Action) -> int:
    """Return an action's numeric id, 1 or more, given as it is or as the action."""
    return _check_positive_int(value.id if isinstance(value, Action) else value, "action_id")


def check_droplet_id(value: int) -> int:
    """Check a Droplet's numeric id, 1 or more."""
    return _check_positive_int(value, "droplet_id")


def check_size(value: int) -> int:
    """Check a size in GiB, 1 to 16,384 (16 TiB)."""
    _check_positive_int(value, "size_gigabytes")
    if value > MAX_SIZE_GIGABYTES:
        raise InvalidArgumentError(f"size_gigabytes must be 1 to {MAX_SIZE_GIGABYTES}")
    return value


def check_per_page(value: int) -> int:
    """Check a page size, 1 to 200; the server would silently clamp more."""
    _check_positive_int(value, "per_page")
    if value > MAX_PER_PAGE:
        raise InvalidArgumentError(f"per_page must be 1 to {MAX_PER_PAGE}, not {value}")
    return value


def check_volume_name(name: str) -> str:
    """Check a new volume's name: lower-case letters, digits, hyphens; a letter first; 64 long."""
    if not isinstance(name, str) or not _VOLUME_NAME.fullmatch(name):
        raise InvalidArgumentError(
            "a new volume's name has lower-case letters, digits and hyphens, begins with a letter "
            f"and is at most 64 long; not {name!r}"
        )
    return name


def check_text(value: str, what: str) -> str:
    """Check a non-empty string without control characters, such as an existing name."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InvalidArgumentError(f"{what} must be a non-empty printable string, not {value!r}")
    return value


def check_description(text: str | None) -> str | None:
    """Check a description: a string that UTF-8 can hold, or None."""
    if text is not None:
        try:
            text.encode()
        except (AttributeError, UnicodeEncodeError):
            raise InvalidArgumentError(f"description must be a string, not {text!r}") from None
    return text


def check_snapshot_name(name: str) -> str:
    """Check a name for a new snapshot: printable, at most 255 long."""
    check_text(name, "a snapshot's name")
    if len(name) > MAX_SNAPSHOT_NAME:
        raise InvalidArgumentError(f"a snapshot's name is at most {MAX_SNAPSHOT_NAME} long")
    return name


def check_region(region: str | Region) -> str:
    """Return a region's slug, such as nyc3, given as it is or as the region."""
    slug = region.slug if isinstance(region, Region) else region
    if not isinstance(slug, str) or not _REGION.fullmatch(slug):
        raise InvalidArgumentError(f"not a region slug: {shown(slug)}")
    return slug


def fold_tags(tags: Iterable[str]) -> frozenset[str]:
    """Return tags in the form in which they compare: the API ignores case in them.

    It keeps the spelling of the first use, so a tag may come back in another one than was sent
    (github.com/digitalocean/doctl, issue 333).
    """
    return frozenset(tag.lower() for tag in tags)


def check_tags(tags: Iterable[str] | None) -> tuple[str, ...]:
    """Check tag names: letters, digits, colons, dots, dashes and underscores, 255 at most each.

    None stands for no tags.
    """
    if isinstance(tags, str) or not isinstance(tags, Iterable | None):
        raise InvalidArgumentError(f"tags must be a list of strings, not {shown(tags)}")
    checked = tuple(tags or ())
    for tag in checked:
        if not isinstance(tag, str) or not _TAG.fullmatch(tag):
            raise InvalidArgumentError(f"not a tag: {tag!r}")
    return checked


def check_filesystem(filesystem_type: str | None, filesystem_label: str | None) -> None:
    """Check filesystem and label: ext4 up to 16 characters, xfs up to 12, none without type."""
    if filesystem_type is None:
        if filesystem_label is not None:
            raise InvalidArgumentError("filesystem_label needs a filesystem_type")
        return
    if not isinstance(filesystem_type, str) or filesystem_type not in _LABEL_LENGTH:
        raise InvalidArgumentError(f"filesystem_type is ext4 or xfs, not {filesystem_type!r}")
    if filesystem_label is None:
        return
    check_text(filesystem_label, "filesystem_label")
    longest = _LABEL_LENGTH[filesystem_type]
    if len(filesystem_label) > longest:
        raise InvalidArgumentError(f"a label on {filesystem_type} has at most {longest} characters")
