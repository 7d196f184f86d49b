"""kill -9 at random moments, in small; `benchmarks/bulk/kill9.py` does it hundreds of times."""

from __future__ import annotations

from pathlib import Path

from tests.support.kill_campaign import campaign, shared_campaign


async def test_killed_at_any_moment_and_resumed_every_volume_has_one_snapshot(
    tmp_path: Path,
) -> None:
    result = await campaign(kills=5, items=60, seed=3, directory=tmp_path)
    assert result["kills"] in {5, 6}, "the last trial may be killed twice"


async def test_where_one_of_three_workers_is_killed_or_stopped_the_others_do_its_work(
    tmp_path: Path,
) -> None:
    result = await shared_campaign(
        kills=2, items=60, seed=4, directory=tmp_path, journal=tmp_path / "j.db", stop_for_s=2.5
    )
    assert result["kills"] == 2


async def test_the_same_over_postgres(tmp_path: Path, postgres_url: str) -> None:
    result = await shared_campaign(
        kills=1, items=60, seed=5, directory=tmp_path, journal=f"{postgres_url}#nightly"
    )
    assert result["kills"] == 1
