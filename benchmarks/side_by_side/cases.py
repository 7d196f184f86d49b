"""The cases, who takes part in each, and what must be shown."""

from __future__ import annotations

from typing import Any, Literal

import attrs

__all__ = ["BARS", "CASES", "Bar", "Case", "Scale"]

Metric = Literal["wall", "cpu", "value"]

_ALL = (
    "project",
    "aiohttp",
    "aiohttp-12",
    "aiohttp-cattrs",
    "httpx",
    "pydo-aio",
    "pydo",
    "gradient",
)
_CALLS = ("project", "aiohttp", "aiohttp-cattrs", "httpx", "pydo-aio", "pydo", "gradient")
_WAYS = ("project", "json", "orjson", "msgspec", "msgspec-attrs", "cattrs")


@attrs.frozen
class Scale:
    """How much work: the real thing, or `--quick`, which only shows that everything runs."""

    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@attrs.frozen(kw_only=True)
class Case:
    """One piece of work for several clients.

    Attributes:
        metric: which of the measured figures the case is about.
        unit: of that figure in the table; `factor` brings seconds or bytes to it.
        clients: who takes part, the project first.
        quick_clients: who takes part in `--quick`; the others cost seconds to import.
        kind: `work` runs `work.py` against one server, `serving` against a server of each client
            (what is compared are these), `command` times a whole process, `size` counts files.
        server: settings of the server at each scale (full, quick), or None where it needs none.
        spec: what the process of the case is told, at each scale.
    """

    name: str
    title: str
    metric: Metric
    unit: str
    factor: float
    clients: tuple[str, ...]
    quick_clients: tuple[str, ...] = ("project", "aiohttp")
    kind: Literal["work", "serving", "command", "size"] = "work"
    server: tuple[dict[str, Any], dict[str, Any]] | None = None
    spec: tuple[dict[str, Any], dict[str, Any]] = ({}, {})


@attrs.frozen
class Bar:
    """At most `at_most` times what the peer needs."""

    case: str
    against: str
    at_most: float
    what: str


_FLEET = ({"volumes": 10_000, "latency_s": 0.0}, {"volumes": 400, "latency_s": 0.0})
_FAR = ({"volumes": 10_000, "latency_s": 0.03}, {"volumes": 400, "latency_s": 0.005})
_LARGE = ({"volumes": 100_000, "latency_s": 0.0}, {"volumes": 1_000, "latency_s": 0.0})
_BULK = ({"volumes": 2_000, "latency_s": 0.0}, {"volumes": 100, "latency_s": 0.0})


def _calls(work: str, concurrency: int, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    shared = {"work": work, "concurrency": concurrency, **more}
    return {**shared, "count": 1_000, "rounds": 3}, {**shared, "count": 40, "rounds": 1}


def _local(module: str, count: int, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    shared = {"work": "local", "module": module, **more}
    return {**shared, "count": count, "rounds": 5}, {**shared, "count": 400, "rounds": 1}


CASES: tuple[Case, ...] = (
    Case(
        name="list",
        title="list 10,000 volumes (50 pages)",
        metric="wall",
        unit="ms",
        factor=1e3,
        clients=_ALL,
        quick_clients=("project", "aiohttp", "pydo-aio"),
        server=_FLEET,
        spec=({"work": "list", "rounds": 3}, {"work": "list", "rounds": 1}),
    ),
    Case(
        name="list-30ms",
        title="list 10,000 volumes, 30 ms a page",
        metric="wall",
        unit="ms",
        factor=1e3,
        clients=_ALL,
        server=_FAR,
        spec=({"work": "list", "rounds": 1}, {"work": "list", "rounds": 1}),
    ),
    Case(
        name="get-1",
        title="GET, one after the other: CPU of a call",
        metric="cpu",
        unit="µs",
        factor=1e6,
        clients=_CALLS,
        server=_FLEET,
        spec=_calls("get", 1),
    ),
    Case(
        name="get-32",
        title="GET, 32 at a time: CPU of a call",
        metric="cpu",
        unit="µs",
        factor=1e6,
        clients=_CALLS,
        server=_FLEET,
        spec=_calls("get", 32),
    ),
    Case(
        name="get-32-shared",
        title="GET, 32 at a time, on a token that others have used: CPU of a call",
        metric="cpu",
        unit="µs",
        factor=1e6,
        clients=("project", "aiohttp"),
        server=_FLEET,
        spec=_calls("get", 32, shared=True),
    ),
    Case(
        name="create",
        title="create, 32 at a time: CPU of a call",
        metric="cpu",
        unit="µs",
        factor=1e6,
        clients=_CALLS,
        server=_FLEET,
        spec=_calls("create", 32),
    ),
    Case(
        name="decode",
        title="decode a page: CPU of a volume",
        metric="cpu",
        unit="µs",
        factor=1e6,
        clients=_WAYS,
        quick_clients=("project", "json"),
        spec=_local("decoding", 10_000, form="page"),
    ),
    Case(
        name="decode-one",
        title="decode an answer of one volume: CPU",
        metric="cpu",
        unit="µs",
        factor=1e6,
        clients=_WAYS,
        quick_clients=("project", "json"),
        spec=_local("decoding", 10_000, form="one"),
    ),
    Case(
        name="grants",
        title="grants of the throttle, 10,000 waiting: CPU of one",
        metric="cpu",
        unit="µs",
        factor=1e6,
        clients=("project", "project-fair", "project-idle", "aiolimiter", "semaphore"),
        quick_clients=("project", "semaphore"),
        spec=_local("granting", 10_000),
    ),
    Case(
        name="bulk",
        title="bulk of 2,000 snapshots, limits off: time for each",
        metric="wall",
        unit="µs",
        factor=1e6,
        clients=("project", "aiohttp"),
        server=_BULK,
        spec=({"work": "bulk", "rounds": 2}, {"work": "bulk", "rounds": 1}),
    ),
    Case(
        name="memory",
        title="peak memory, listing 100,000 volumes",
        metric="value",
        unit="MiB",
        factor=1 / 2**20,
        clients=("project", "aiohttp", "aiohttp-12", "httpx", "pydo-aio", "gradient"),
        server=_LARGE,
        spec=({"work": "memory"}, {"work": "memory"}),
    ),
    Case(
        name="import",
        title="import: CPU",
        metric="cpu",
        unit="ms",
        factor=1e3,
        clients=("project", "aiohttp", "httpx", "pydo-aio", "pydo", "gradient"),
        kind="command",
        spec=({"inside": True}, {"inside": True}),
    ),
    Case(
        name="ready",
        title="import, construct and open a client: CPU",
        metric="cpu",
        unit="ms",
        factor=1e3,
        clients=("project", "aiohttp", "httpx", "pydo-aio", "gradient"),
        kind="command",
        spec=({"inside": True}, {"inside": True}),
    ),
    Case(
        name="cli",
        title="`do-blockstore --help`: CPU of the process",
        metric="cpu",
        unit="ms",
        factor=1e3,
        clients=("project", "rich-aiohttp", "python"),
        quick_clients=("project", "rich-aiohttp"),
        kind="command",
    ),
    Case(
        name="size",
        title="installed size with core dependencies, without bytecode",
        metric="value",
        unit="MiB",
        factor=1 / 2**20,
        clients=("project", "aiohttp", "httpx", "pydo-aio", "pydo", "gradient"),
        quick_clients=("project", "aiohttp", "pydo-aio"),
        kind="size",
    ),
    Case(
        name="simulator",
        title="the simulator under load, GET on 32 connections: time for each answer",
        metric="wall",
        unit="µs",
        factor=1e6,
        clients=("project", "aiohttp-web"),
        quick_clients=("project", "aiohttp-web"),
        kind="serving",
        server=({"volumes": 1_000}, {"volumes": 100}),
        spec=_calls("load", 32),
    ),
)

BARS: tuple[Bar, ...] = (
    Bar("list", "aiohttp", 1.25, "list 10,000, no latency, models against dicts: time"),
    Bar("list", "aiohttp-12", 1.25, "the same, both 12 pages at a time: time"),
    Bar("list", "pydo-aio", 0.40, "list 10,000, no latency: time"),
    Bar("list", "gradient", 0.15, "list 10,000, no latency, both typed models: time"),
    Bar("list-30ms", "pydo-aio", 0.15, "list 10,000, 30 ms a page, one by one there: time"),
    Bar("decode", "json", 1.0, "decode one volume of a page into its model: CPU"),
    Bar("decode-one", "json", 1.0, "decode an answer of one volume into its model: CPU"),
    Bar("get-32", "aiohttp", 1.3, "GET at concurrency 32: CPU of one call"),
    Bar("get-32-shared", "aiohttp", 1.4, "the same on a token that others use too: CPU"),
    Bar("get-32", "pydo-aio", 0.25, "GET at concurrency 32: CPU of one call"),
    Bar("import", "aiohttp", 1.15, "import: CPU"),
    Bar("ready", "aiohttp", 1.15, "import, construct and open a client: CPU"),
    Bar("ready", "pydo-aio", 0.7, "import, construct and open a client: CPU"),
    Bar("size", "pydo-aio", 0.25, "installed size with core dependencies"),
    Bar("memory", "aiohttp", 1.3, "peak memory, listing 100,000"),
    Bar("bulk", "aiohttp", 1.5, "bulk of 2,000 snapshots, limits off: time"),
    Bar("cli", "rich-aiohttp", 1.5, "`do-blockstore --help`: CPU"),
)
