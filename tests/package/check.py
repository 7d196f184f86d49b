"""Build the package as for a release, and check what users would get.

    python -m tests.package.check

The wheel holds the package, its license and nothing else; the sdist passes its own tests; each
extra installs into an empty environment and what it is for can be imported; without extras the
command line says what is missing. Needs the dependency group `package`, and an index to install
from.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.support.documentation import ROOT

NAME = "do_blockstore_async"
IMPORTS = {
    "": f"import {NAME} as d; [getattr(d, name) for name in d.__all__]",
    "cli": f"from {NAME}.cli.app import read",
    "cli,pages": f"from {NAME}.cli.pages.rendering import check_extra; check_extra()",
    "fastapi": f"import {NAME}.integrations.fastapi",
    "prometheus": f"import {NAME}.integrations.prometheus",
    "procrastinate": f"import {NAME}.integrations.procrastinate",
    "opentelemetry": f"import {NAME}.integrations.opentelemetry",
}
IN_SDIST = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "benchmarks/__main__.py",
    "docs/index.md",
    "examples/nightly_script.py",
    "noxfile.py",
    "pyproject.toml",
    "tests/conftest.py",
)


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command to its end, and return what it printed."""
    done = subprocess.run(  # noqa: S603 -- commands of this file
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(folder: Path, *requirements: str) -> Path:
    """Make an empty environment with these installed; return its Python."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", *requirements)
    return python


def check_wheel(wheel: Path) -> None:
    """Check that it holds the package, its metadata, license and type marker, and nothing else."""
    names = zipfile.ZipFile(wheel).namelist()
    strangers = [name for name in names if name.split("/")[0] not in {NAME, _metadata(wheel)}]
    assert not strangers, strangers
    assert f"{NAME}/py.typed" in names
    assert f"{_metadata(wheel)}/licenses/LICENSE" in names
    templates = {name for name in names if name.startswith(f"{NAME}/cli/pages/templates/")}
    assert {name.rpartition(".")[2] for name in templates} == {"css", "html", "js"}
    assert not [
        name
        for name in names
        if not name.endswith((".py", ".typed")) and NAME + "/" in name and name not in templates
    ]


def _metadata(wheel: Path) -> str:
    return "-".join(wheel.name.split("-")[:2]) + ".dist-info"


def check_sdist(sdist: Path, folder: Path) -> None:
    """What it takes to test and build is in it, and its own tests pass."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    missing = [name for name in IN_SDIST if not (tree / name).exists()]
    assert not missing, missing
    python = environment(folder / "venv", f"{tree}[test]")
    print(run(python, "-m", "pytest", "-q", "tests/pure", cwd=tree).splitlines()[-1])


def check_extras(wheel: Path, folder: Path) -> None:
    """Each extra by itself brings what its modules import."""
    for extra, program in IMPORTS.items():
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        python = environment(folder / (extra or "core"), wanted)
        run(python, "-W", "error", "-c", program, cwd=folder)
        print(f"extra {extra or '(none)'}: fine")
    bare = subprocess.run(  # noqa: S603 -- the program of the wheel
        [str(folder / "core" / "bin" / "do-blockstore"), "volumes", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bare.returncode == 1, bare
    assert "pip install 'do-blockstore-async[cli]'" in bare.stderr, bare


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        run(sys.executable, "-m", "build", "--outdir", folder / "dist")
        (wheel,) = folder.glob("dist/*.whl")
        (sdist,) = folder.glob("dist/*.tar.gz")
        print(run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist).strip())
        check_wheel(wheel)
        check_extras(wheel, folder)
        (folder / "source").mkdir()
        check_sdist(sdist, folder / "source")


if __name__ == "__main__":
    main()
