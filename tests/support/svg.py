"""Drawings as SVG, in the colors of the reader's scheme, on a background of their own.

A page can be dark while the browser asks for light: text is readable on the drawing's own paper.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

__all__ = ["Drawing"]

_STYLE = """
svg { --paper: #ffffff; --ink: #1f2933; --quiet: #52606d; --line: #9aa5b1; --grid: #e4e7eb;
      --box: #eef4f7; --fine: #0b7285; --fill: #0b728533; --bad: #c92a2a; --over: #c92a2a55; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #1a1c1e; --ink: #e6e9ec; --quiet: #aab4bf; --line: #6b7683; --grid: #32373c;
        --box: #24303a; --fine: #4dc4d9; --fill: #4dc4d933; --bad: #ff8787; --over: #ff878755; }
}
text { font-family: system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
.mono { font-family: ui-monospace, "DejaVu Sans Mono", monospace; }
.bold { font-weight: bold; } .quiet { fill: var(--quiet); }
.fine { fill: var(--fine); } .bad { fill: var(--bad); }
.line { stroke: var(--line); fill: none; } .grid { stroke: var(--grid); fill: none; }
.ink { stroke: var(--ink); fill: none; } .curve { stroke: var(--fine); fill: none; }
.dashed { stroke-dasharray: 5 4; }
.box { fill: var(--box); stroke: var(--line); } .held { fill: var(--fill); stroke: var(--fine); }
.area { fill: var(--fill); } .over { fill: var(--over); } .head { fill: var(--line); }
"""


class Drawing:
    """A picture of a given size, drawn from its top left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size = width, height
        self._title = title
        self._parts: list[str] = []

    def text(
        self, x: float, y: float, words: str, style: str = "", size: float = 14, anchor: str = ""
    ) -> None:
        """Write one line; `anchor` is `middle` or `end`."""
        at = f' text-anchor="{anchor}"' if anchor else ""
        named = f' class="{style}"' if style else ""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size:g}"{at}{named}>{escape(words)}</text>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, style: str = "box", radius: float = 6
    ) -> None:
        """Draw a rectangle."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"'
            f' class="{style}"/>'
        )

    def line(self, points: Iterable[tuple[float, float]], style: str, width: float = 1) -> None:
        """Draw a line through points."""
        shown = " ".join(f"{round(x, 1):g},{round(y, 1):g}" for x, y in points)
        self._parts.append(f'<polyline points="{shown}" class="{style}" stroke-width="{width:g}"/>')

    def area(self, points: Iterable[tuple[float, float]], style: str = "area") -> None:
        """Fill what lies between points."""
        shown = " ".join(f"{round(x, 1):g},{round(y, 1):g}" for x, y in points)
        self._parts.append(f'<polygon points="{shown}" class="{style}"/>')

    def arrow(self, start: tuple[float, float], end: tuple[float, float], style: str = "") -> None:
        """Draw a horizontal or vertical line with a head at its end."""
        (x, y), (to_x, to_y) = start, end
        self.line([start, end], f"line {style}".strip(), 1.5)
        across = (0, 4) if y == to_y else (4, 0)
        back = (-8 if to_x > x else 8, 0) if y == to_y else (0, -8 if to_y > y else 8)
        self.area(
            [
                end,
                (to_x + back[0] + across[0], to_y + back[1] + across[1]),
                (to_x + back[0] - across[0], to_y + back[1] - across[1]),
            ],
            "head",
        )

    def write(self, path: Path) -> None:
        """Write the file."""
        width, height = self._size
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img">\n'
            f"<title>{escape(self._title)}</title>\n<style>{_STYLE}</style>\n"
            f'<rect width="{width}" height="{height}" rx="8" fill="var(--paper)"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )
