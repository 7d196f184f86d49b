"""The rules of the house, read from the source: purity, one clock, no module state, small folders.

Layers are held by import-linter (`[tool.importlinter]` in pyproject.toml); here stands what it
cannot say. Imports inside functions and under TYPE_CHECKING count like any other: what a module
names, it depends on.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import do_blockstore_async

PACKAGE = Path(do_blockstore_async.__file__).parent
NAME = "do_blockstore_async"

# What the top may use: public names, from wherever they are defined, and nothing else.
PUBLIC_MODULES = ("", "events", "simulator", "bulk", "jobs", "integrations.procrastinate")
PUBLIC_NAMES = {
    name
    for module in PUBLIC_MODULES
    for name in getattr(import_module(f"{NAME}.{module}".rstrip(".")), "__all__", ())
}

# Text and time: no part of what a client does.
SHARED_WITH_TOP = {"_lazy", "_export", "_limits", "_clock"}
# Where a user's files lie: one answer for the budget, the journals and doctl's configuration.
PLACES = "_log.places"

IMPURE_IMPORTS = {"asyncio", "time", "random", "secrets", "socket", "os", "subprocess", "threading"}
IMPURE_NAMES = {"open", "print", "input"}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


@cache
def imported(module: str) -> list[tuple[str, str, ast.stmt]]:
    return list(imports_of(module))


def imports_of(module: str) -> Iterator[tuple[str, str, ast.stmt]]:
    """(absolute module, name or "", node) for each import of a module, wherever it stands."""
    is_package = MODULES[module].name == "__init__.py"
    package = [NAME, *module.split(".")] if module else [NAME]
    if module and not is_package:
        package = package[:-1]
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, "", node
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield origin, alias.name, node


def own(origin: str, name: str) -> str | None:
    """The module of this package that an import reaches, without the package's name."""
    if origin != NAME and not origin.startswith(NAME + "."):
        return None
    inside = origin[len(NAME) + 1 :]
    deeper = f"{inside}.{name}" if inside else name
    return deeper if deeper in MODULES else inside


def layer(module: str) -> str:
    return module.partition(".")[0]


def docstring(module: str) -> str:
    return ast.get_docstring(TREES[module]) or ""


# A module that calls itself Pure is held to it, wherever it stands.
PURE = [name for name in MODULES if re.search(r"\bPure\b", docstring(name))]
# Everything in these folders has to be.
PURE_FOLDERS = ("_ratelimit.pure", "bulk.model", "simulator.state", "simulator.api")


def test_there_are_modules_to_judge() -> None:
    assert len(MODULES) > 100
    assert len(PURE) > 50


def test_folders_of_pure_modules_hold_no_others() -> None:
    silent = [
        name
        for name, path in MODULES.items()
        if name.startswith(tuple(f"{folder}." for folder in PURE_FOLDERS))
        and path.name != "__init__.py"
        and name not in PURE
    ]
    assert not silent, "say Pure in the docstring, or move it"


@pytest.mark.parametrize(
    "module", [name for name in MODULES if layer(name) in {"cli", "integrations"}]
)
def test_the_top_uses_public_names_only(module: str) -> None:
    for origin, name, node in imported(module):
        target = own(origin, name)
        if target is None or layer(target) in {layer(module), *SHARED_WITH_TOP}:
            continue
        public = name in PUBLIC_NAMES or target in {*PUBLIC_MODULES, PLACES}
        assert public, f"line {node.lineno}: {module} -> {target}"


@pytest.mark.parametrize("module", [name for name in MODULES if layer(name) == "simulator"])
def test_the_simulator_shares_no_code_with_what_it_tests(module: str) -> None:
    """A bug must not agree with itself. Only the way into a client in process knows the client."""
    foundations = {"_lazy", "_clock", "_limits"}
    if module == "simulator.in_process":
        foundations |= {"client", "config", "errors", "_http.request", "_ratelimit.throttle"}
    for origin, name, node in imported(module):
        target = own(origin, name)
        known = target is None or layer(target) == "simulator" or target in foundations
        assert known, f"line {node.lineno}: {module} -> {target}"


def test_folders_are_small_enough_to_read() -> None:
    folders = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    assert max(folders.values()) <= 15, folders.most_common(1)


def stem(name: str) -> str:
    """A name without its ending: plan for plan, planner and planning."""
    word = name.lower().replace("_", "")
    for ending in ("ning", "ing", "ner", "er", "or", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def test_no_two_modules_of_a_folder_differ_by_an_ending() -> None:
    by_stem: dict[tuple[Path, str], set[str]] = {}
    for path in MODULES.values():
        entry = path.parent if path.name == "__init__.py" else path
        by_stem.setdefault((entry.parent, stem(entry.stem)), set()).add(entry.stem)
    # `python -m` asks for __main__.
    assert not [alike - {"__main__"} for alike in by_stem.values() if len(alike - {"__main__"}) > 1]


def test_no_two_classes_differ_by_an_ending_or_a_capital() -> None:
    by_stem: dict[str, set[str]] = {}
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                by_stem.setdefault(stem(node.name.lstrip("_")), set()).add(node.name.lstrip("_"))
    # The simulator's one account, and a user's several.
    by_stem.pop(stem("Accounts"))
    assert not [alike for alike in by_stem.values() if len(alike) > 1]


def outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from outside_functions(node)


def test_nothing_imports_in_a_circle() -> None:
    """Imports for types only count too: two rooms that need each other to be read are one room.

    Those inside functions do not: they are how something heavy is left out until it is used.
    """
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for module in MODULES:
        for node in outside_functions(TREES[module]):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for origin, name, found in imported(module):
                    target = own(origin, name)
                    if found is node and target and target != module:
                        graph[module].add(target)
    state: dict[str, int] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert state.get(module) != 1, f"a circle: {' -> '.join((*path, module))}"
        if state.get(module) == 2:
            return
        state[module] = 1
        for target in sorted(graph[module]):
            visit(target, (*path, module))
        state[module] = 2

    for module in MODULES:
        visit(module, ())


def test_the_aiohttp_client_is_known_in_one_place() -> None:
    for module in MODULES:
        origins = {origin for origin, name, node in imported(module) if not is_typing(module, node)}
        uses = {origin for origin in origins if layer(origin) == "aiohttp"}
        if module == "_http.transport":
            assert "aiohttp" in uses
        elif module in {"simulator.server", "cli.pages.live"}:
            # The server side: `from aiohttp import web`.
            names = {name for origin, name, _ in imported(module) if origin == "aiohttp"}
            assert names <= {"web"}
        elif layer(module) == "integrations":
            names = {name for origin, name, _ in imported(module) if origin == "aiohttp"}
            assert names <= {"web"}, module
        else:
            assert not uses, module


@cache
def for_types_only(module: str) -> set[ast.AST]:
    return {
        inner
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def is_typing(module: str, wanted: ast.stmt) -> bool:
    """Whether a statement stands under `if TYPE_CHECKING:`."""
    return wanted in for_types_only(module)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "_clock"])
def test_time_and_chance_come_from_the_clock(module: str) -> None:
    for origin, name, node in imported(module):
        assert origin != "time", f"{module}, line {node.lineno}"
        # The type alone is harmless: who holds a Random got it from clock.seeded.
        assert origin not in {"random", "secrets"} or name == "Random", f"{module}: {origin}"
    for inner in ast.walk(TREES[module]):
        if isinstance(inner, ast.Call):
            assert not (isinstance(inner.func, ast.Name) and inner.func.id == "Random"), module
        if isinstance(inner, ast.Attribute):
            written = ast.unparse(inner)
            assert written != "asyncio.sleep", f"{module}, line {inner.lineno}"
            assert written not in {"datetime.now", "datetime.utcnow", "date.today"}, module


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_are_pure(module: str) -> None:
    for origin, _, node in imported(module):
        if not is_typing(module, node) and layer(origin) in IMPURE_IMPORTS:
            assert layer(origin) == "random", f"{module} imports {origin}"
    for inner in ast.walk(TREES[module]):
        assert not isinstance(
            inner, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith
        ), f"{module}, line {inner.lineno}: async"
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name):
            assert inner.func.id not in IMPURE_NAMES, f"{module}: {inner.func.id}"


MUTATING = {"append", "add", "update", "pop", "clear", "extend", "setdefault", "remove", "insert"}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_holds_state(module: str) -> None:
    """No `global`, and no container of a module's own that one of its functions changes."""
    names = set()
    for node in TREES[module].body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    for function in ast.walk(TREES[module]):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for inner in ast.walk(function):
            assert not isinstance(inner, ast.Global), f"{module}: global"
            if (
                isinstance(inner, ast.Call)
                and isinstance(inner.func, ast.Attribute)
                and isinstance(inner.func.value, ast.Name)
                and inner.func.attr in MUTATING
            ):
                assert inner.func.value.id not in names, f"{module}: {ast.unparse(inner)}"
            if isinstance(inner, ast.Subscript) and isinstance(inner.ctx, ast.Store | ast.Del):
                holder = inner.value
                assert not (isinstance(holder, ast.Name) and holder.id in names), module


HEAVY = ["cattrs", "cyclopts", "rich", "fastapi", "pydantic", "starlette", "prometheus_client"]


def loaded_by(program: str) -> set[str]:
    done = subprocess.run(  # noqa: S603 -- this very Python
        [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def test_importing_the_package_loads_only_what_a_call_needs() -> None:
    # Names are imported when they are first used: see the package's own description.
    assert "aiohttp" not in loaded_by("import do_blockstore_async")
    loaded = loaded_by("from do_blockstore_async import BlockStore")
    assert "aiohttp" in loaded
    # aiohttp.web is what the simulator listens with.
    wrong = [name for name in [*HEAVY, "opentelemetry", "pytest", "aiohttp.web"] if name in loaded]
    assert not wrong
    parts = {name.split(".")[1] for name in loaded if name.startswith(NAME + ".")}
    assert not parts & {"simulator", "cli", "integrations", "bulk"}


OPENED = """
import asyncio, sys
from do_blockstore_async import BlockStore
async def main():
    async with BlockStore("dop_v1_x"):
        pass
asyncio.run(main())
"""


def test_an_open_client_has_loaded_only_what_a_call_needs() -> None:
    loaded = loaded_by(OPENED)
    late = [
        *(f"{NAME}.{part}" for part in ("events", "_export", "_schema.cattrs_hooks", "_log")),
        *(f"{NAME}._ratelimit.{part}" for part in ("status", "shared")),
        # These only spaced requests, a name or a mistake needs.
        *("aiolimiter", "importlib.metadata", "secrets", "hmac", "difflib", "zoneinfo", "sqlite3"),
    ]
    assert not loaded & {*HEAVY, *late}


def test_an_open_client_has_compiled_few_classes() -> None:
    # attrs compiles each class when it is imported: as long as twenty structs take.
    program = f"{OPENED}\nimport linecache; print(*linecache.cache, sep='|')"
    done = subprocess.run(  # noqa: S603 -- this very Python
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    found = re.findall(rf"<attrs generated methods {NAME}\.([\w.]+)>", done.stdout)
    models = ("Action", "Page", "RateLimit", "Region", "Response", "Volume", "VolumeSnapshot")
    assert {*found} == {"config.Config", *(f"models.{name}" for name in models)}


def test_lazy_names_arrive_when_asked_for() -> None:
    loaded = loaded_by(
        "import do_blockstore_async as d; d.Simulator; d.make_converter; from sys import modules"
    )
    assert {"aiohttp.web", "cattrs", f"{NAME}.simulator.server"} <= loaded


def test_nothing_is_left_to_do() -> None:
    for module, path in MODULES.items():
        text = path.read_text()
        assert "TODO" not in text, module
        assert "FIXME" not in text, module
