"""Installed sizes, counted from the records of what is installed; nothing is downloaded.

The size of a distribution is the sum of the files in its RECORD without bytecode, which doubles the
Python part of everybody and depends on the interpreter. Of a distribution installed in editable
form the package's own files are counted. Dependencies are followed by their markers and extras, as
pip does.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

__all__ = ["installed_bytes"]

ROOTS = {
    "project": "do-blockstore-async",
    "aiohttp": "aiohttp",
    "httpx": "httpx",
    "pydo-aio": "pydo[aio]",
    "pydo": "pydo",
    "gradient": "gradient",
}


def installed_bytes(client: str) -> int:
    """Size of a client and all it needs.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    return sum(_size(name) for name in _closure(ROOTS[client]))


def _closure(root: str) -> set[str]:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(root)]
    while todo:
        wanted = todo.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for line in metadata.requires(name) or ():
            needed = Requirement(line)
            environments = [{"extra": extra} for extra in extras or {""}]
            if needed.marker is None or any(map(needed.marker.evaluate, environments)):
                todo.append(needed)
    return {name for name, _ in seen}


def _size(name: str) -> int:
    distribution = metadata.distribution(name)
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    if any(path.name.startswith("_editable_") or path.suffix == ".pth" for path in files):
        package = Path(__file__).parents[2] / name.replace("-", "_")
        files += [path for path in package.rglob("*") if path.suffix in (".py", ".typed")]
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc" and path.is_file())
