"""`do-blockstore simulator`"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..exit_codes import ExitCode, UsageError
from ..options import current

if TYPE_CHECKING:
    from ...simulator.server import Simulator

__all__ = ["simulator"]


async def simulator(
    *,
    port: int = 8080,
    volumes: int = 120,
    seed: int = 0,
    token: str | None = None,
    droplet: tuple[str, ...] = (),
    latency_ms: float = 0.0,
    faults: str | None = None,
) -> int:
    """Run a local simulator of the API on 127.0.0.1, until Ctrl-C.

    What a client needs is printed on stdout, ready for the shell.

    Args:
        port: where to listen (default 8080); 0 takes a free one.
        volumes: how many there are, over all regions with storage (default 120).
        seed: the same seed makes the same fleet.
        token: the accepted token; made from the seed by default.
        droplet: a Droplet's number, or NUMBER:REGION; repeat it for more.
        latency_ms: how long each response takes.
        faults: what goes wrong, such as response_lost:0.05,html_502:POST:times=2.
    """
    from ..._limits import DEFAULT_LIMITS
    from ...simulator.server import serve

    if current().simulate:
        raise UsageError("`simulator` needs no --simulate")
    try:
        await serve(
            port=port,
            volumes=volumes,
            seed=seed,
            token=token,
            droplets=droplet,
            limits=current().limits or DEFAULT_LIMITS,
            latency_ms=latency_ms,
            faults=faults,
            announce=_announce,
        )
    except (ValueError, OverflowError) as error:
        raise UsageError(str(error)) from None
    return ExitCode.DONE


def _announce(running: Simulator) -> None:
    import sys

    from ..output.terminal import print_stderr

    sys.stdout.write(
        f"export DIGITALOCEAN_API_URL={running.url}\nexport DIGITALOCEAN_TOKEN={running.token}\n"
    )
    sys.stdout.flush()
    print_stderr(f"{len(running.world.volumes)} volumes at {running.url}; Ctrl-C to quit")
