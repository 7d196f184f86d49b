"""Build the package as for a release, and check what users would get.

    python -m tests.package.check [--quick] [--keep FOLDER]

The wheel holds the package, its license and nothing else; the sdist passes its own tests; each
extra installs into an empty environment and what it is for can be imported; without extras
everything that needs one says so. `--quick` leaves the sdist's own tests and the extras out;
`--keep` leaves wheel and sdist in a folder. Needs the dependency group `package`, and an index to
install from.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

from tests.package import without_extras
from tests.support.documentation import ROOT

NAME = "do_blockstore_async"
EVERY_NAME = f"import {NAME} as d; [getattr(d, name) for name in d.__all__]"
INTEGRATION = f"import {NAME}.integrations.{{}}"
STORE = f"from {NAME}._log.opening import open_store; open_store('{{}}://h/1', 'key')"
# What each extra is for.
PROGRAMS = {
    "cli": f"from {NAME}.cli.app import read",
    "fastapi": INTEGRATION.format("fastapi"),
    "opentelemetry": INTEGRATION.format("opentelemetry"),
    "pages": f"from {NAME}.cli.pages.rendering import check_extra; check_extra()",
    "postgres": STORE.format("postgresql"),
    "procrastinate": INTEGRATION.format("procrastinate"),
    "prometheus": INTEGRATION.format("prometheus"),
    "redis": STORE.format("redis"),
}
DATA = (".css", ".html", ".js", ".json", ".svg")
"""Files beside the modules: of the pages that `bulk inventory` and others write."""
IN_SDIST = (
    ".github/workflows/release.yml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "README.md",
    "RELEASING.md",
    "SECURITY.md",
    "benchmarks/__main__.py",
    "changelog.d/template.md.jinja",
    "docs/index.md",
    "examples/nightly_script.py",
    "noxfile.py",
    "pyproject.toml",
    "tests/conftest.py",
    "tests/data/formats/journal-3.db",
)


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command to its end, and return what it printed."""
    # A PYTHONPATH would put this tree before what is installed.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(  # noqa: S603 -- commands of this file
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
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
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    strangers = [name for name in names if name.split("/")[0] not in {NAME, _metadata(wheel)}]
    man = f"{'-'.join(wheel.name.split('-')[:2])}.data/data/share/man/man1/do-blockstore.1"
    assert strangers == [man], strangers
    assert f"{NAME}/py.typed" in names
    assert f"{_metadata(wheel)}/licenses/LICENSE" in names
    inside = {name for name in names if name.startswith(f"{NAME}/")}
    assert not [name for name in inside if not name.endswith((".py", "/py.typed", *DATA))]
    here = {
        str(path.relative_to(ROOT))
        for path in (ROOT / NAME).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == here, inside ^ here
    metadata = archive.read(f"{_metadata(wheel)}/METADATA").decode()
    for label in ("Documentation", "Source", "Changelog", "Issues"):
        assert f"Project-URL: {label}, https://" in metadata, label


def _metadata(wheel: Path) -> str:
    return "-".join(wheel.name.split("-")[:2]) + ".dist-info"


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack it, and check that what it takes to test and build is in it."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    missing = [name for name in IN_SDIST if not (tree / name).exists()]
    assert not missing, missing
    return tree


def check_sdist(tree: Path, folder: Path) -> None:
    """Its own tests pass."""
    python = environment(folder / "of-sdist", f"{tree}[test]")
    print(run(python, "-m", "pytest", "-q", "-n", "2", "tests/pure", cwd=tree).splitlines()[-1])


def check_core(wheel: Path, folder: Path) -> None:
    """Without extras every name is there, and whatever needs an extra says which."""
    python = environment(folder / "core", str(wheel))
    run(python, "-I", "-W", "error", "-c", EVERY_NAME, cwd=folder)
    bare = subprocess.run(  # noqa: S603 -- the program of the wheel
        [str(python), "-I", str(folder / "core" / "bin" / "do-blockstore"), "volumes", "list"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bare.returncode == 1, bare
    assert "pip install 'do-blockstore-async[cli]'" in bare.stderr, bare
    assert "Traceback" not in bare.stderr, bare
    check_refusals(python, folder, ())


def check_refusals(python: Path, folder: Path, present: tuple[str, ...]) -> None:
    """Whatever needs an extra that is not there names it, and the command."""
    said = run(python, "-I", "-W", "error", without_extras.__file__, cwd=folder)
    wrong = without_extras.judge(said, present)
    assert not wrong, "\n".join(wrong)
    print(f"with {' '.join(present) or 'no extra'}: {len(said.splitlines())} things say it well")


def check_extras(wheel: Path, folder: Path) -> None:
    """Each extra by itself brings what its modules import."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in declared["optional-dependencies"]:
        if extra == "test":
            continue
        python = environment(folder / extra, f"{wheel}[{extra}]")
        run(python, "-I", "-W", "error", "-c", PROGRAMS[extra], cwd=folder)
        print(f"extra {extra}: fine")
    check_refusals(folder / "cli" / "bin" / "python", folder, ("cli",))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        dist, source = folder / "dist", folder / "source"
        run(sys.executable, "-m", "build", "--outdir", dist)
        (wheel,) = dist.glob("*.whl")
        (sdist,) = dist.glob("*.tar.gz")
        print(run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist).strip())
        check_wheel(wheel)
        source.mkdir()
        tree = unpack(sdist, source)
        check_core(wheel, folder)
        if not options.quick:
            check_extras(wheel, folder)
            check_sdist(tree, folder)
        if options.keep is not None:
            shutil.copytree(dist, options.keep)


if __name__ == "__main__":
    main()
