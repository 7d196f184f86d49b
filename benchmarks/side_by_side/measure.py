"""Runs cases: each client in a process of its own, taking turns, several times over.

Taking turns matters more than long runs: whatever else the machine does, and however its clock rate
wanders, it does so to everybody alike. A client's figure is the median over its processes, and of
each process the median of its rounds.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import attrs

from .cases import Case, Scale
from .server import pin
from .sizes import installed_bytes

__all__ = ["Measured", "machine", "run_case"]

_ROOT = Path(__file__).parents[2]
_LIMIT_S = 300.0
_IMPORTS = {
    # The package loads its names when they are used: importing it alone would prove nothing.
    "project": "from do_blockstore_async import BlockStore, Config",
    "aiohttp": "import aiohttp",
    "httpx": "import httpx",
    "pydo-aio": "import pydo.aio",
    "pydo": "import pydo",
    "gradient": "import gradient",
}
_OPENED = {
    "project": (
        "from do_blockstore_async import BlockStore",
        "async with BlockStore('dop_v1_x'): took()",
    ),
    "aiohttp": ("import aiohttp", "async with aiohttp.ClientSession(): took()"),
    "httpx": ("import httpx", "async with httpx.AsyncClient(): took()"),
    "pydo-aio": ("from pydo.aio import Client", "async with Client(token='dop_v1_x'): took()"),
    "gradient": (
        "from gradient import AsyncGradient",
        "async with AsyncGradient(access_token='dop_v1_x'): took()",
    ),
}
_COMMANDS = {
    "project": "import sys\nsys.argv = ['do-blockstore', '--help']\n"
    "from do_blockstore_async.cli import main\nsys.exit(main())",
    "rich-aiohttp": "import rich, aiohttp",
    "python": "pass",
}
_TIMED = """\
import sys, time
def took():
    sys.stderr.write(f"[{{time.perf_counter() - wall}}, {{time.process_time() - cpu}}]")
wall, cpu = time.perf_counter(), time.process_time()
{}
"""


@attrs.define
class Measured:
    """What a client needed in a case, in seconds or bytes: one figure for each process."""

    wall: list[float] = attrs.Factory(list)
    cpu: list[float] = attrs.Factory(list)
    value: list[float] = attrs.Factory(list)
    missing: str | None = None

    def median(self, metric: str) -> float | None:
        figures = getattr(self, metric)
        return median(figures) if figures else None

    def spread(self, metric: str) -> tuple[float, float] | None:
        """The middle half of the figures; their extremes where there are fewer than four."""
        figures = sorted(getattr(self, metric))
        if not figures:
            return None
        if len(figures) < 4:
            return figures[0], figures[-1]
        low, _, high = quantiles(figures, n=4)
        return low, high

    def take(self, found: dict[str, Any]) -> None:
        if "missing" in found:
            self.missing = found["missing"]
            return
        for metric in ("wall", "cpu"):
            if found.get(metric):
                getattr(self, metric).append(median(found[metric]))
        if "value" in found:
            self.value.append(found["value"])


def run_case(
    case: Case, scale: Scale, repeats: int, progress: Any = lambda *_: None
) -> dict[str, Measured]:
    """Measure every client of a case, taking turns."""
    clients = case.quick_clients if scale.quick else case.clients
    measured = {client: Measured() for client in clients}
    spec = case.spec[scale.quick]
    with _servers(case, scale, clients) as servers:
        for repeat in range(1 if case.kind == "size" else repeats):
            # Whoever comes first in one turn comes last in the next.
            turn = repeat % len(clients)
            for client in (*clients[turn:], *clients[:turn]):
                one = measured[client]
                if case.kind == "command" and repeat == 0:
                    # Once for the bytecode, which pip writes for everybody else.
                    _once(case, client, repeat, spec)
                if one.missing is None:
                    progress(case, client, repeat)
                    told = {**spec, **servers.get(client, {})}
                    one.take(_once(case, client, repeat, told))
    return measured


@contextlib.contextmanager
def _servers(
    case: Case, scale: Scale, clients: Sequence[str]
) -> Iterator[dict[str, dict[str, Any]]]:
    """The servers that a case needs: what the processes of each client are told of theirs."""
    if case.server is None:
        yield {}
        return
    settings = case.server[scale.quick]
    with contextlib.ExitStack() as stack:
        if case.kind == "serving":
            started = {
                client: _started("loaded_server", {"kind": client, **settings}, stack)
                for client in clients
            }
        else:
            started = dict.fromkeys(clients, _started("server", settings, stack))
        yield {client: {"volumes": settings["volumes"], **said} for client, said in started.items()}


def _started(name: str, settings: dict[str, Any], stack: contextlib.ExitStack) -> dict[str, Any]:
    """What a server that was just started says of itself; it lives as long as the stack."""
    program = [sys.executable, "-m", f"benchmarks.side_by_side.{name}", json.dumps(settings)]
    process = stack.enter_context(
        # A session of its own: Ctrl-C is for us, and the server ends when we do.
        subprocess.Popen(
            program,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stack.callback(process.stdin.close)
    said: dict[str, Any] = json.loads(process.stdout.readline())
    return said


def _once(case: Case, client: str, repeat: int, told: dict[str, Any]) -> dict[str, Any]:
    if case.kind == "size":
        try:
            return {"value": installed_bytes(client)}
        except metadata.PackageNotFoundError as error:
            return {"missing": f"{error.name} is not installed"}
    if case.kind == "command":
        return _command(case, client, inside="inside" in told)
    # A token of its own: nobody has spent anything of its budget yet.
    told = {"client": client, "token": f"dop_v1_{case.name}_{client}_{repeat}", **told}
    done = _run([sys.executable, "-m", "benchmarks.side_by_side.work", json.dumps(told)])
    if done.returncode:
        raise RuntimeError(f"{case.name} of {client} failed:\n{done.stderr.decode()[-4_000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    # A package without bytecode is compiled whenever it is imported: that measures the compiler.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, timeout=_LIMIT_S, check=False,
        preexec_fn=lambda: pin(0),
    )  # fmt: skip


def _command(case: Case, client: str, *, inside: bool) -> dict[str, Any]:
    """A whole process; `inside` it times an import itself, without the interpreter's start."""
    if case.name == "import":
        code = _TIMED.format(f"{_IMPORTS[client]}\ntook()")
    elif case.name == "ready":
        first, body = _OPENED[client]
        main = f"import asyncio\nasync def main():\n    {body}\nasyncio.run(main())"
        code = _TIMED.format(f"{first}\n{main}")
    else:
        code = _COMMANDS[client]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = time.perf_counter()
    done = _run([sys.executable, "-W", "ignore", "-c", code])
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {"missing": done.stderr.decode().strip().splitlines()[-1]}
    if inside:
        wall, cpu = json.loads(done.stderr[done.stderr.rindex(b"[") :])
    else:
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": [wall], "cpu": [cpu]}


def machine() -> str:
    """What the figures were measured on: processor, cores, Python, and who else was at work."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    versions = []
    for name in ("aiohttp", "httpx", "pydo", "gradient", "msgspec", "orjson", "cattrs"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    load = os.getloadavg()[0]
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, CPython "
        f"{platform.python_version()}; {', '.join(versions)}; load {load:.1f} at the start"
    )
