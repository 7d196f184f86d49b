"""The options that every command has, as a function's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .options import Output, Settings, seconds_of

__all__ = ["everywhere"]


def everywhere(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    simulate: bool = False,
    output: Annotated[Output | None, Parameter(alias="-o")] = None,
    api_url: str | None = None,
    token_file: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    context: str | None = None,
    limits: str | None = None,
    budget_store: str | None = None,
    timeout: str | None = None,
    ca_file: Path | None = None,
    quiet: Annotated[bool, Parameter(alias="-q")] = False,
    verbose: Annotated[bool, Parameter(alias="-v")] = False,
) -> tuple[Settings, tuple[str, ...], bool]:
    """Take the options that every command has, before or after its name.

    Returns the settings, the words left for the command, and whether `--output` was given.

    Args:
        simulate: use an embedded simulator with 120 volumes; no token needed.
        output: how results are written (default table): wide has all columns, name only ids,
            json-full the API's own shape.
        api_url: where the API is; also DIGITALOCEAN_API_URL.
        token_file: a file that holds the token and nothing else; - is standard input.
        context: take token and API of this context, of the configuration file or of doctl.
        limits: REQUESTS/SECONDS,... (default 250/60,5000/3600); none for a simulator.
        budget_store: who shares the token's budget: process, machine (default), or a redis:// or
            postgresql:// URL; also DO_BLOCKSTORE_BUDGET.
        timeout: 30s, 5m, 1h for each call, the wait for the budget included; not for bulk jobs.
        ca_file: trust the certificate authorities in this PEM file instead of the system's; also
            SSL_CERT_FILE.
        quiet: nothing but results and errors.
        verbose: events on stderr, and tracebacks of failures.
    """
    settings = Settings(
        simulate=simulate,
        api_url=api_url,
        shown=output or "table",
        quiet=quiet,
        verbose=verbose,
        token_file=token_file,
        context=context,
        limits=limits,
        budget=budget_store,
        timeout_s=None if timeout is None else seconds_of(timeout, "--timeout"),
        ca_file=ca_file,
    )
    return settings, tokens, output is not None
