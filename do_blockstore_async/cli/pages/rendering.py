"""Make one self-contained page of a template: its style, script and data are inside of it.

What the API sent is somebody else's text. jinja2 escapes it, in the page's data too; and should
that ever fail, the page's own policy runs no script and no style but its own two, known by their
hashes, and connects to nothing.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..._export import visible
from ..exit_codes import CommandError

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["check_extra", "render"]

_TEMPLATES: Final = Path(__file__).with_name("templates")


def check_extra() -> None:
    """Fail early, before anything is sent, if pages cannot be made here.

    Raises:
        CommandError: jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: F401 -- only whether it is there
    except ImportError:
        raise CommandError(
            "pages need an extra: pip install 'do-blockstore-async[cli,pages]'"
        ) from None


def render(name: str, *, connects: bool = False, **values: Any) -> str:
    """Return the page that the template `name` makes.

    Args:
        name: of the template and of its script; `report` or `live`.
        connects: whether its script may connect to where the page came from.
        **values: what the template shows.
    """
    style, script = _text("style.css"), _text("common.js") + _text(f"{name}.js")
    reach = "'self'" if connects else "'none'"
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        f"connect-src {reach}; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template(f"{name}.html")
        .render(style=style, script=script, policy=policy, **values)
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    # Compact, and in the order in which it was written.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
