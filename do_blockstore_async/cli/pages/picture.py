"""The pictures of `bulk inventory`: its report as a page, and bars in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
from cyclopts import Group, Parameter

from ..exit_codes import UsageError
from ..options import current
from ..output.terminal import print_stderr

if TYPE_CHECKING:
    from ...bulk import Inventory, Prices
    from .earlier import Past
    from .figures import Figures
    from .replacing import Replacement

__all__ = ["Drawing", "Picture", "drawing"]

_GROUP = Group("Pictures", sort_key=20)
# A table with its bars below it wants room; on less, --chart draws them all the same.
_WIDE_ENOUGH = 100
_TABLES = ("table", "wide")


@Parameter(name="*", group=_GROUP)
@attrs.frozen(kw_only=True)
class Picture:
    """What is drawn.

    Args:
        html: write a report to this file: one page, with a table to sort and filter.
        earlier: earlier reports, or output of --output json, to show how costs grow; the newest
            report is enough, and may be the very file of --html.
        unprotected_days: a volume without a snapshot of the last N days counts as unprotected
            (default 7).
        chart: draw costs by region and ages of snapshots below the table, as on a wide terminal.
    """

    html: Path | None = None
    earlier: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = ()
    unprotected_days: int = 7
    chart: bool = False

    def check(self) -> None:
        """Reject options that exclude each other.

        Raises:
            UsageError: see its message.
        """
        if self.earlier and self.html is None:
            raise UsageError("--earlier goes into a report: name it with --html FILE")
        if not 1 <= self.unprotected_days <= 36_500:
            raise UsageError("--unprotected-days must be 1 or more")
        if self.chart and current().shown not in _TABLES:
            raise UsageError("--chart is drawn below a table: leave --output out")


class Drawing:
    """Draws an inventory; made by `drawing`."""

    def __init__(
        self,
        picture: Picture,
        file: Replacement | None,
        figures: Callable[[Inventory], Figures],
        earlier: Sequence[Past] = (),
    ) -> None:
        self._picture = picture
        self._earlier = earlier
        self._file = file
        self._figures = figures

    def write_page(self, found: Inventory) -> None:
        """Write the report, if one is wanted.

        Raises:
            CommandError: the file cannot be written; it is as it was.
        """
        if self._file is not None:
            from .report import report_page

            later = [past for past in self._earlier if past.taken_at >= found.taken_at]
            if later:
                dates = ", ".join(f"{past.taken_at:%Y-%m-%d %H:%M}" for past in later[-3:])
                print_stderr(
                    f"earlier reports left out: {len(later):,} not older than this report ({dates})"
                )
            self._file.write(report_page(self._figures(found)))

    def show_chart(self, found: Inventory) -> None:
        """Draw bars on stdout, where they fit or are asked for; tell where the report is."""
        width = _chart_width(self._picture)
        if width:
            from .report import show_chart

            show_chart(self._figures(found), width)
        if self._file is not None:
            print_stderr(f"report: {self._picture.html}")


@contextmanager
def drawing(
    picture: Picture, scope: str, prices: Prices, *, with_snapshots: bool
) -> Iterator[Drawing]:
    """Give what draws an inventory; whatever keeps it from that is told before one is taken.

    Args:
        picture: what to draw.
        scope: which volumes it is about, in words.
        prices: by which costs are computed.
        with_snapshots: whether snapshots are listed.

    Raises:
        UsageError: the options exclude each other, or a file cannot be read or written.
        CommandError: the extra for pages is missing.
    """
    picture.check()
    if current().simulate:
        scope = f"{scope}; simulated"
    if not with_snapshots:
        scope = f"{scope}; snapshots left out"
    earlier: list[Past] = []

    def figures(found: Inventory) -> Figures:
        from .figures import figures_of

        return figures_of(
            found,
            prices,
            scope=scope,
            with_snapshots=with_snapshots,
            unprotected_days=picture.unprotected_days,
            earlier=earlier,
        )

    if picture.html is None:
        yield Drawing(picture, None, figures)
        return
    from .rendering import check_extra
    from .replacing import replacing

    check_extra()
    earlier += _earlier(picture, scope, prices.currency)
    with replacing(picture.html) as file:
        yield Drawing(picture, file, figures, earlier)


def _chart_width(picture: Picture) -> int:
    """How wide the bars may be with all that stands beside them; 0 to draw none."""
    from ..output.terminal import results

    console = results()
    if not console.is_terminal:
        return 80 if picture.chart else 0
    is_wide = current().shown in _TABLES and console.width >= _WIDE_ENOUGH
    is_shown = picture.chart or is_wide
    return console.width if is_shown else 0


def _earlier(picture: Picture, scope: str, currency: str) -> list[Past]:
    from .earlier import read_earlier

    paths = list(picture.earlier)
    if picture.html in paths and not picture.html.exists():
        # The first night of a job that goes on with its own report.
        print_stderr(f"{picture.html} is not there yet: costs are shown from this report on")
        paths = [path for path in paths if path != picture.html]
    earlier = read_earlier(paths)
    if earlier and earlier[-1].currency != currency:
        raise UsageError(f"earlier reports are in {earlier[-1].currency}, not in {currency}")
    others = {past.scope for past in earlier} - {None, scope}
    if others:
        told = "; ".join(sorted(f"({other})" for other in others if other))
        print_stderr(f"earlier reports are about other volumes than this ({scope}): {told}")
    return earlier
