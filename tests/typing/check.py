"""Check programs as users write them with mypy --strict and pyright.

    python -m tests.typing.check

Checked are `tests/typing/programs` and every Python block of the README and of the pages in docs/,
each in a function of its own, as somebody has it who copies one block.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from tests.support.documentation import ROOT, blocks, pages

PROGRAMS = Path(__file__).parent / "programs"
# What a block may use without saying so: the page tells so before its first block.
GIVEN = {
    "store": "do_blockstore_async.BlockStore",
    "volume": "do_blockstore_async.Volume",
    "droplet_id": "int",
    "volume_id": "str",
    "snapshot_id": "str",
    # The vendor's, on its page.
    "client": "typing.Any",
    "token": "str",
    "url": "str",
}


def module(page: Path) -> str:
    """The blocks of a page as one module, each in an async function of its own."""
    parts = [
        "import typing",
        "import do_blockstore_async",
        # Not every page needs them.
        "__all__ = ['do_blockstore_async', 'typing']",
    ]
    for number, block in enumerate(blocks(page), 1):
        bound = {
            node.id
            for node in ast.walk(ast.parse(block))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        given = ", ".join(f"{name}: {kind}" for name, kind in GIVEN.items() if name not in bound)
        parts += [f"async def block_{number}({given}) -> None:", textwrap.indent(block, "    ")]
    return "\n".join(parts)


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        for program in PROGRAMS.glob("*.py"):
            shutil.copy(program, folder)
        for page in filter(blocks, pages()):
            parts = page.relative_to(ROOT).with_suffix("").parts
            name = "_".join(parts).lower().replace("-", "_")
            (folder / f"{name}_blocks.py").write_text(module(page))
        settings = {
            "typeCheckingMode": "strict",
            "reportUnnecessaryTypeIgnoreComment": "error",
            "reportUnusedClass": "none",
            "reportUnusedFunction": "none",
            "reportUnusedVariable": "none",
            "extraPaths": [str(ROOT)],
        }
        (folder / "pyrightconfig.json").write_text(json.dumps(settings))
        checks = (
            ["mypy", "--strict", "--config-file=", directory],
            ["pyright", "-p", directory, "--pythonpath", sys.executable],
        )
        return max(
            subprocess.run([sys.executable, "-m", *check], cwd=ROOT, check=False).returncode  # noqa: S603
            for check in checks
        )


if __name__ == "__main__":
    sys.exit(main())
