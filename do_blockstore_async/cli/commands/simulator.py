"""`do-blockstore simulator`"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..exit_codes import ExitCode, UsageError
from ..options import current

if TYPE_CHECKING:
    from ...simulator import RequestRecord
    from ...simulator.server import Simulator

    _Announce = Callable[[Simulator], None]
    _Observe = Callable[[RequestRecord, float, str | None], None]

__all__ = ["simulator"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


async def simulator(
    *,
    port: int = 8080,
    host: str = "127.0.0.1",
    volumes: int | None = None,
    seed: int | None = None,
    token: str | None = None,
    droplet: tuple[str, ...] = (),
    latency_ms: float = 0.0,
    faults: str | None = None,
    scenario: Path | None = None,
    state: Path | None = None,
    record: Path | None = None,
    ui: bool = False,
    ui_port: int | None = None,
) -> int:
    """Run a local simulator of the API, until Ctrl-C.

    What a client needs is printed on stdout, ready for the shell. Tests in any language arrange and
    inspect it at /_simulator, which is described at /_simulator/openapi.json.

    Args:
        port: where to listen (default 8080); 0 takes a free one.
        host: the address to listen on; in a container 0.0.0.0.
        volumes: how many there are, over all regions with storage (default 120; with --scenario
            only those that it names).
        seed: the same seed makes the same fleet.
        token: the accepted token; made from the seed by default.
        droplet: a Droplet's number, or NUMBER:REGION; repeat it for more.
        latency_ms: how long each response takes.
        faults: what goes wrong, such as response_lost:0.05,html_502:POST:times=2.
        scenario: a TOML file with volumes, snapshots, Droplets, tags, faults and the clock.
        state: a file that keeps volumes, snapshots, actions and tags over restarts.
        record: a file to which each request is added as a line of JSON.
        ui: show what happens as a live page in your browser: requests and refusals, what the
            budget's windows hold, runs under way. For this machine only.
        ui_port: where to serve that page (default: a free one).
    """
    from ...simulator.server import serve
    from ..output.terminal import print_stderr

    if current().simulate:
        raise UsageError("`simulator` needs no --simulate")
    if host not in _LOOPBACK:
        print_stderr(f"listening on {host}: there is no TLS, publish it to this machine only")
    if ui_port is not None and not ui:
        raise UsageError("--ui-port is for the page of --ui")
    try:
        async with _page(ui_port or 0 if ui else None) as (announce, observe):
            ended_by = await serve(
                host=host,
                port=port,
                volumes=volumes,
                seed=seed,
                token=token,
                droplets=droplet,
                limits=current().limits,
                latency_ms=latency_ms,
                faults=faults,
                scenario=scenario,
                state=state,
                record=record,
                observe=observe,
                announce=announce,
            )
    except (ValueError, OverflowError) as error:
        raise UsageError(str(error)) from None
    return ExitCode.TERMINATED if ended_by == signal.SIGTERM else ExitCode.DONE


@asynccontextmanager
async def _page(port: int | None) -> AsyncIterator[tuple[_Announce, _Observe | None]]:
    """Serve the live page; None serves none. Gives what the simulator announces and tells."""
    if port is None:
        yield _announce, None
        return
    from ..output.terminal import print_stderr
    from ..pages.live import serve_page
    from ..pages.runs import RunsUnderWay
    from ..pages.sources import SimulatorSource

    source = SimulatorSource(RunsUnderWay())
    async with serve_page(source, port=port) as url:

        def announce(running: Simulator) -> None:
            source.watch(running)
            _announce(running)
            print_stderr(f"what happens there, for this machine only: {url}")

        yield announce, source.on_request


def _announce(running: Simulator) -> None:
    import sys

    from ..output.terminal import print_stderr

    sys.stdout.write(
        f"export DIGITALOCEAN_API_URL={running.url}\nexport DIGITALOCEAN_TOKEN={running.token}\n"
    )
    sys.stdout.flush()
    print_stderr(f"{len(running.world.volumes)} volumes at {running.url}; Ctrl-C to quit")
