"""`do-blockstore config ...`"""

from __future__ import annotations

import os
from operator import attrgetter

import attrs

from ..exit_codes import CommandError, UsageError
from ..options import current

__all__ = ["init", "path", "show"]


@attrs.frozen
class _Row:
    """A setting, its value, and what said so."""

    setting: str
    value: str
    source: str


def show() -> int:
    """Show the settings in force, and where each comes from. No token is read or shown."""
    from ..output.tables import Column, show_rows

    current().check_no_names()
    rows = _rows()
    columns = [Column(name, attrgetter(name)) for name in ("setting", "value", "source")]
    show_rows(current().output, columns, rows)
    return 0


def _rows() -> list[_Row]:
    from ..auth import doctl
    from ..auth.source import VARIABLES, SourceOptions, find_source
    from ..config_file import load

    given, env, file = current(), os.environ, load()
    asked = SourceOptions(given.token_file, given.context, given.api_url, given.budget)
    source = find_source(asked, env, file)
    defaults, context = file.defaults, source.context
    name = given.context or (context.name if context else None)
    if source.token_file is not None and context is None:
        token = ("--token-file", "option")
    elif source.token_env in VARIABLES and context is None:
        token = (f"variable {source.token_env}", "environment")
    elif context is not None:
        how = next(key for key in ("token_file", "token_env", "token_command")
                   if getattr(context, key) is not None)  # fmt: skip
        token = (how, f"context {context.name}")
    else:
        name = name or doctl.current_context(env)
        token = (f"context {name}", "doctl") if name else ("none", "-")

    def row(
        setting: str, option: object, variable: str | None, of_context: object, default: object,
        usual: str,
    ) -> _Row:  # fmt: skip
        # As in `find_source`: a context's own address goes with its token.
        is_first = given.context is not None or setting == "api_url"
        places = [
            (option, "option"),
            (of_context if is_first else None, f"context {name}"),
            (env.get(variable) if variable else None, f"variable {variable}"),
            (of_context, f"context {name}"),
            (default, str(file.path)),
        ]
        for value, said in places:
            if value:
                return _Row(setting, _without_password(str(value)), said)
        return _Row(setting, usual, "default")

    return [
        _Row("token", *token),
        row("context", given.context, None, None, file.context if context else None, "-"),
        row("api_url", given.api_url, "DIGITALOCEAN_API_URL", context and context.api_url,
            defaults.api_url, source.api_url),
        row("budget_store", given.budget, "DO_BLOCKSTORE_BUDGET", context and context.budget_store,
            defaults.budget_store, "machine"),
        row("limits", given.limits, None, context and context.limits, defaults.limits,
            "250/60,5000/3600"),
        row("timeout", given.timeout_s and f"{given.timeout_s:g}s", None, None, defaults.timeout,
            "-"),
        row("ca_file", given.ca_file, "SSL_CERT_FILE", None, defaults.ca_file, "-"),
        row("output", None, None, None, defaults.output, given.shown),
        _Row("refresh_completions", str(file.refresh_completions).lower(),
             str(file.path) if file.exists else "default"),
    ]  # fmt: skip


def _without_password(text: str) -> str:
    import re

    return re.sub(r"//[^@/]*@", "//(credentials)@", text)


def path() -> int:
    """Print where the configuration file is; exit code 1 when there is none yet."""
    from ..config_file import config_path
    from ..output.tables import write

    place = config_path(os.environ)
    if place is None:
        raise CommandError("there is no home directory: set DO_BLOCKSTORE_CONFIG to a file")
    write(str(place))
    return 0 if place.exists() else 1


def init() -> int:
    """Write a configuration file with every setting commented out; none is overwritten."""
    from ..config_file import TEMPLATE, config_path
    from ..output.terminal import print_stderr

    place = config_path(os.environ)
    if place is None:
        raise CommandError("there is no home directory: set DO_BLOCKSTORE_CONFIG to a file")
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with place.open("x", encoding="utf-8") as file:
            place.chmod(0o600)
            file.write(TEMPLATE)
    except FileExistsError:
        raise UsageError(f"{place} exists already; it was not changed") from None
    print_stderr(f"wrote {place}: edit it, then see `do-blockstore config show`")
    return 0
