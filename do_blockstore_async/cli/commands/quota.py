"""`do-blockstore quota`"""

from __future__ import annotations

from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..exit_codes import UsageError
from ..options import current, seconds_of

if TYPE_CHECKING:
    from ... import ProcessStatus, QuotaStatus
    from ..session import Session

__all__ = ["quota"]

_WIDTH = 40
_WIDEST = 100
_BESIDE_BAR = 50
_SHORTEST_BAR = 5
_GREEN, _YELLOW, _RED, _DIM = "32", "33", "31", "2"
_REDRAW_S = 0.5


async def quota(
    *,
    watch: Annotated[bool, Parameter(alias="-w")] = False,
    interval: str = "10s",
) -> int:
    """Show the token's request budget: both windows, and who used what of them.

    It costs one request, since the API reports the budget with its responses only.

    Args:
        watch: refresh until Ctrl-C.
        interval: the time between two requests, 1s or more (default 10s).
    """
    from ..session import open_session

    interval_s = seconds_of(interval, "--interval")
    if interval_s < 1:
        raise UsageError(f"--interval must be 1s or more, not {interval}: each is a request")
    current().check_no_names()
    if watch and current().output != "table":
        raise UsageError("--watch draws gauges: leave --output out")
    async with open_session() as session:
        await _look(session)
        if watch:
            await _watch(session, interval_s)
        else:
            _show(session)
    return 0


async def _look(session: Session) -> None:
    """One small request; its response headers hold the budget, whatever its status."""
    from ...errors import PermissionDeniedError

    with suppress(PermissionDeniedError):
        await session.store.request("GET", "/v2/volumes", params={"per_page": 1})


def _show(session: Session) -> None:
    import attrs

    from ..._export import json_text
    from ..output.tables import Column, show_rows, write, write_json
    from ..output.terminal import terminal_width

    status = session.store.quota
    output = current().output
    if output == "table":
        write("\n".join(_gauges(session.host, status, terminal_width() or _WIDEST)))
    elif output == "json":
        windows = [
            {**attrs.asdict(window), "remaining": window.remaining} for window in status.windows
        ]
        write_json(json_text({**attrs.asdict(status), "windows": windows}))
    else:
        names = ("length_s", "limit", "used", "used_by_others", "reserved", "remaining")
        show_rows(output, [Column(name, attrgetter(name)) for name in names], status.windows)


def _gauges(host: str, status: QuotaStatus, width: int) -> list[str]:
    from ..output.terminal import bold, styled
    from ..output.text import bar, window_name

    lines = [bold(f"Request budget at {host}")]
    room = min(_WIDTH, min(width, _WIDEST) - _BESIDE_BAR)
    for window in status.windows:
        taken = window.limit - window.remaining
        share = taken / window.limit
        said = f"{taken:>5,} of {window.limit:,} used"
        if window.used_by_others:
            said += styled(f", {window.used_by_others:,} by others", _DIM)
        name = window_name(window.length_s)
        name = f"in {name}" if name[0].isdigit() else name
        if room < _SHORTEST_BAR:
            # Numbers rather than pictures.
            lines.append(f"  {name:<8}{said}")
            continue
        filled, rest = bar(room, share)
        colour = _GREEN if share < 0.7 else _YELLOW if share < 0.95 else _RED
        lines.append(f"  {name:<8}{styled(filled, colour)}{styled(rest, _DIM)}  {said}")
    lines.append(f"  {_outlook(status)}")
    # Without peers there is nothing to tell: this program alone, for a moment.
    lines.extend(f"  {_peer(peer)}" for peer in status.processes if not peer.is_this)
    return lines


def _peer(peer: ProcessStatus) -> str:
    return f"Shared with {peer.name}: {peer.in_flight:,} in flight, {peer.waiting:,} waiting."


def _outlook(status: QuotaStatus) -> str:
    from ..output.text import clock_text, window_name

    if status.paused_for_s > 0:
        return f"Paused by the API: next request in {clock_text(status.paused_for_s)}."
    if status.probing:
        return "The API reports that nothing is left of the hour."
    if status.available_in_s >= 1:
        why = {"others": " (other clients use the rest)", "store": " (the store is away)"}
        wait = clock_text(status.available_in_s)
        return f"Next request in {wait}{why.get(status.reason, '')}."
    longest = status.windows[-1]
    name = window_name(longest.length_s)
    within = name if name[0].isdigit() else f"the {name}"
    return f"Free: {status.remaining:,} now, {longest.remaining:,} within {within}."


async def _watch(session: Session, interval_s: float) -> None:
    import asyncio

    from ..._clock import Clock, now_s
    from ..output.terminal import is_live, results

    console = results()
    if not is_live(console):
        while True:
            _show(session)
            console.file.flush()
            await Clock().sleep(interval_s)
            await _look(session)
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    hint = Text("  Ctrl-C to quit; each refresh is a request.", style="dim")
    next_look_s = now_s() + interval_s
    looking: asyncio.Task[None] | None = None
    with Live(console=console, auto_refresh=False) as live:
        while True:
            if looking is not None and looking.done():
                looking.result()
                looking = None
            if looking is None and now_s() >= next_look_s:
                next_look_s = now_s() + interval_s
                looking = asyncio.create_task(_look(session))
            lines = _gauges(session.host, session.store.quota, console.width)
            text = Text.from_ansi("\n".join(lines), no_wrap=True)
            live.update(Group(text, hint), refresh=True)
            await Clock().sleep(_REDRAW_S)
