"""Sessions for nox: `nox` runs those of a change, `nox -s NAME` one, `nox -l` lists them.

Python versions that are not installed are skipped.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
NODE = "tests/clients/drivers/node"
NPM_QUIET = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
GROUPS = nox.project.load_toml("pyproject.toml")

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "typing", "tests"]


def install(session: nox.Session, *groups: str) -> None:
    """Install the package with what its tests need, and what the dependency groups name."""
    needed = nox.project.dependency_groups(GROUPS, *groups) if groups else ()
    session.install("-e", ".[test]", *needed)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after `--` replace the default of three processes."""
    install(session)
    session.run("pytest", *(session.posargs or ["-n", "3"]))


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that are declared."""
    session.install("uv")
    session.run("uv", "pip", "install", "--resolution", "lowest-direct", "-e", ".[test]")
    # Old releases use what newer ones of their own dependencies have deprecated since.
    quiet = ("-W", "ignore::DeprecationWarning")
    session.run("pytest", *quiet, *(session.posargs or ["-n", "3"]))


@nox.session
def clients(session: nox.Session) -> None:
    """Drive foreign clients against the simulator; those for Node and Go if they are at hand."""
    install(session, "clients")
    if shutil.which("npm"):
        session.run("npm", "install", "--prefix", NODE, *NPM_QUIET, external=True)
    session.run("pytest", *(session.posargs or ["tests/clients", "tests/contract"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, and that imports point downwards."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the package, its tests, and programs as users write them, with mypy and pyright."""
    install(session, "lint", "bench")
    session.run("mypy")
    session.run("python", "-m", "tests.typing.check")


@nox.session
def coverage(session: nox.Session) -> None:
    """Run the tests once, measuring lines and branches."""
    install(session, "coverage")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *(session.posargs or ["-n", "3"]))
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into `docs/_build/html`, and look at it in a browser."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-q", "docs", "docs/_build/html")
    session.run("python", "-m", "tests.site.check")


@nox.session
def package(session: nox.Session) -> None:
    """Build wheel and sdist as for a release, and install and check both."""
    install(session, "package")
    session.run("python", "-m", "tests.package.check")


@nox.session
def rehearse(session: nox.Session) -> None:
    """Release two versions to an index of this machine, and upgrade in the middle of a job."""
    install(session, "package")
    session.run("python", "-m", "tests.package.rehearse", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Ask whether the newest of what the core and the extras bring has known vulnerabilities."""
    session.install(*nox.project.dependency_groups(GROUPS, "release"))
    project = GROUPS["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(each for name in extras if name != "test" for each in extras[name]),
    ]
    listed = Path(session.create_tmp()) / "requirements.txt"
    listed.write_text("\n".join(wanted))
    # Without --strict what could not be asked about would count as fine.
    session.run("pip-audit", "--strict", "--progress-spinner", "off", "-r", str(listed))


@nox.session
def changelog(session: nox.Session) -> None:
    """Show the next version's section; after `--` a branch: it has a fragment and is signed off."""
    session.install(*nox.project.dependency_groups(GROUPS, "release"))
    session.run("towncrier", "build", "--draft", "--version", "next")
    for base in session.posargs:
        session.run("towncrier", "check", "--compare-with", base)
        form = "--format=%(trailers:key=Signed-off-by,valueonly,separator=%x2C)|%h %s"
        asked = ("git", "log", "--no-merges", form, f"{base}..")
        commits = str(session.run(*asked, external=True, silent=True)).splitlines()
        unsigned = [each[1:] for each in commits if each.startswith("|")]
        if unsigned:
            session.error("not signed off (git commit -s): " + "; ".join(unsigned))


@nox.session
def bench(session: nox.Session) -> None:
    """Show that every benchmark runs; arguments after `--` replace `--quick`."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *(session.posargs or ["--quick"]))
