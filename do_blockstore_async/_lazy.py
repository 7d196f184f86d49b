"""Import names when they are first used (PEP 562), and say what to install where one is missing.

A pytest run that merely has the package installed, or `do-blockstore --help`, need not pay for an
HTTP client; a program that only makes single calls needs nothing of bulk jobs; and what an extra
brings is imported by the part that needs it, which names the extra where it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["ModuleLater", "lazy_names", "missing_module", "needs_extra", "public_in"]


class ModuleLater:
    """A module, imported when something of it is first used.

    For what most programs never need. A type checker is told the real one, and who resolves an
    annotation such as `status.QuotaStatus` at run time finds it.
    """

    def __init__(self, name: str) -> None:
        """Name it in full."""
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self._name), name)
        setattr(self, name, value)
        return value


def lazy_names(
    namespace: dict[str, Any], names: Mapping[str, str], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a module whose names live in other modules.

    Args:
        namespace: the module's `globals()`; a name found once is an ordinary attribute of it.
        names: for each public name the module it comes from, relative to the package.
        modules: public modules of the package, which are found as attributes of it too.
    """
    package: str = namespace["__name__"]
    public = frozenset(modules)

    def get(name: str) -> Any:
        if name in public:
            return import_module(f".{name}", package)
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = namespace[name] = getattr(import_module(names[name], package), name)
        return value

    def names_of_module() -> list[str]:
        return sorted({*names, *public})

    return get, names_of_module


def public_in(module: str, *classes: type[Any]) -> None:
    """Let classes be of the module that users import them from.

    Their annotations are resolved before: most names in them are not known there.
    """
    # Imported late: `do-blockstore --help` does without.
    import inspect

    for cls in classes:
        cls.__annotations__ = inspect.get_annotations(cls, eval_str=True)
        cls.__module__ = module


def needs_extra(what: str, extra: str) -> str:
    """Say what to install.

    Args:
        what: subject and verb: `a queue needs`, `cron expressions need`.
        extra: as in pyproject.toml.
    """
    return f"{what} an extra: pip install 'do-blockstore-async[{extra}]'"


def missing_module(module: str, extra: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return what a module raises on import where its extra is not installed.

    Args:
        module: its `__name__`.
        extra: as in pyproject.toml.
        error: what was missing.
    """
    return ModuleNotFoundError(
        needs_extra(f"{module} needs", extra), name=error.name, path=error.path
    )
