"""The figures as Markdown, and as pictures for whoever asks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .cases import BARS, Bar, Case
from .measure import Measured

__all__ = ["Results", "bars_table", "case_table", "plot"]

Results = dict[str, tuple[Case, dict[str, Measured]]]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f} x"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def ratio(results: Results, bar: Bar) -> float | None:
    """The project's median over the peer's; None where either is not there."""
    if bar.case not in results:
        return None
    case, measured = results[bar.case]
    mine = measured["project"].median(case.metric)
    peer = measured[bar.against].median(case.metric) if bar.against in measured else None
    return None if mine is None or not peer else mine / peer


def bars_table(results: Results) -> str:
    """One row for each bar whose case was run."""
    rows = []
    for bar in BARS:
        if bar.case not in results:
            continue
        case, measured = results[bar.case]
        found = ratio(results, bar)
        mine = measured["project"].median(case.metric)
        peer = measured[bar.against].median(case.metric) if bar.against in measured else None
        rows.append(
            [
                bar.what,
                bar.against,
                "-" if mine is None else f"{_number(mine * case.factor)} {case.unit}",
                "-" if peer is None else f"{_number(peer * case.factor)} {case.unit}",
                "not measured" if found is None else _times(found),
                _times(bar.at_most),
                "-" if found is None else "yes" if found <= bar.at_most else "no",
            ]
        )
    return _table(["case", "against", "project", "peer", "ratio", "at most", "met"], rows)


def case_table(case: Case, measured: dict[str, Measured]) -> str:
    """Every client of a case: median, the middle half, and how it stands to the project."""
    mine = measured["project"].median(case.metric)
    rows = []
    for client, one in measured.items():
        middle, spread = one.median(case.metric), one.spread(case.metric)
        if middle is None or spread is None:
            rows.append([client, f"not measured: {one.missing}", "", "", "", ""])
            continue
        low, high = spread
        cells = [client, _number(middle * case.factor)]
        cells.append(f"{_number(low * case.factor)} to {_number(high * case.factor)}")
        for metric in ("wall", "cpu"):
            other = one.median(metric) if case.metric != "value" else None
            cells.append("" if other is None else _number(other * case.factor))
        cells.append("" if not mine else _times(middle / mine))
        rows.append(cells)
    header = [case.title, f"median, {case.unit}", "middle half", "time", "CPU", "to the project"]
    return _table(header, rows)


def plot(results: Results, directory: Path) -> list[Path]:
    """A bar chart for each case, as PNG files in `directory`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (case, measured) in results.items():
        shown = {c: one for c, one in measured.items() if one.median(case.metric) is not None}
        figure, axes = pyplot.subplots(figsize=(7, 0.8 + 0.45 * len(shown)))
        for at, (client, one) in enumerate(shown.items()):
            middle, spread = one.median(case.metric), one.spread(case.metric)
            assert middle is not None
            assert spread is not None
            error = [[(middle - spread[0]) * case.factor], [(spread[1] - middle) * case.factor]]
            color = "#0b6e4f" if client.startswith("project") else "#9aa5b1"
            axes.barh(at, middle * case.factor, xerr=error, color=color, ecolor="#333333")
            axes.text(middle * case.factor, at, f" {_number(middle * case.factor)}", va="bottom")
        axes.set_yticks(range(len(shown)), list(shown))
        axes.invert_yaxis()
        axes.set_xlabel(case.unit)
        axes.set_title(case.title.replace("`", ""))
        axes.spines[["top", "right"]].set_visible(False)
        figure.tight_layout()
        paths.append(directory / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
        pyplot.close(figure)
    return paths
