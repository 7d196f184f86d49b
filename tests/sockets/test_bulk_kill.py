"""kill -9 at random moments, in small; `benchmarks/bulk/kill9.py` does it two hundred times."""

from __future__ import annotations

from pathlib import Path

from tests.support.kill_campaign import campaign


async def test_killed_at_any_moment_and_resumed_every_volume_has_one_snapshot(
    tmp_path: Path,
) -> None:
    result = await campaign(kills=15, items=60, seed=3, directory=tmp_path)
    assert result["kills"] in {15, 16}, "the last trial may be killed twice"
