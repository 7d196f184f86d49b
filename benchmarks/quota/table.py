"""The table of cases, bars and figures."""

from __future__ import annotations

__all__ = ["Table"]


class Table:
    """Rows of case, bar, figure and verdict."""

    def __init__(self) -> None:
        self.lines = ["| case | must | is | |", "| --- | --- | --- | --- |"]
        self.missed = 0

    def row(
        self, case: str, must: str, figure: str, passed: bool | None, why_not: str = ""
    ) -> None:
        refusal = f"**no**: {why_not}" if why_not else "**no**"
        verdict = "" if passed is None else "yes" if passed else refusal
        self.missed += passed is False
        self.lines.append(f"| {case} | {must} | {figure} | {verdict} |")
