"""Parse the specification of `--faults`."""

from __future__ import annotations

from .rules import FaultInjector, FaultRule

__all__ = ["parse_faults"]

_SPEC = (
    "a fault looks like KIND[:METHOD][ PATH][:RATE][:NAME=VALUE...], such as "
    "'response_lost:0.05' or 'html_502:POST /v2/volumes:1.0:times=2'; "
    "faults are separated by commas, and 'seed=7' may stand between them"
)


def parse_faults(spec: str) -> FaultInjector:
    """Parse the specification of `--faults`.

    Faults are separated by commas. Each begins with its kind; what follows, separated by colons
    and in any order, is

    - a request: a method, a path, or both with a space between (`POST /v2/volumes`). In a path `*`
      stands for one part, `**` for anything;
    - a number from 0 to 1: the share of those requests (default 1);
    - `times=N` (or `count=N`), `skip=N`, `commit=SHARE`, `seconds=S`, `return_second=yes`: as in
      `FaultRule`.

    `seed=N` in place of a fault seeds all of them.

    Raises:
        ValueError: it is not of that form; the message says what is wrong.
    """
    rules: list[FaultRule] = []
    seed = 0
    for item in filter(None, (part.strip() for part in spec.split(","))):
        name, _, value = item.partition("=")
        if name == "seed":
            seed = _whole(item, value)
            continue
        kind, *rest = (part.strip() for part in item.split(":"))
        rule: dict[str, object] = {}
        for part in rest:
            rule.update(_part(item, part))
        rules.append(FaultRule(kind, **rule))  # type: ignore[arg-type]
    return FaultInjector(rules, seed=seed)


def _part(item: str, part: str) -> dict[str, object]:
    name, equals, value = part.partition("=")
    if equals:
        if name in ("times", "count"):
            return {"times": _whole(item, value)}
        if name == "skip":
            return {"skip": _whole(item, value)}
        if name in ("commit", "seconds"):
            return {name: _real(item, value)}
        if name == "return_second":
            return {"return_second": value.lower() in ("1", "yes", "true")}
        raise ValueError(f"{item!r}: no such option: {name!r}; {_SPEC}")
    if part.startswith(("/", "*")):
        return {"path": part}
    method, _, path = part.partition(" ")
    if method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"):
        return {"method": method, **({"path": path.strip()} if path.strip() else {})}
    return {"rate": _real(item, part)}


def _whole(item: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{item!r}: not a whole number: {text!r}; {_SPEC}") from None


def _real(item: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{item!r}: not a number: {text!r}; {_SPEC}") from None
