"""Names of snapshots from templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async.bulk.errors import PlanError
from do_blockstore_async.bulk.model.snapshot_names import Template, check_job
from tests.support.bulk_models import NOW, volume

FIELDS = ("volume", "volume_id", "region", "date", "time", "job")
specs = st.sampled_from(["", ":.3", ":.10"])
texts = st.text("ab-_.*+[(0", max_size=5)
templates = (
    st.lists(st.tuples(texts, st.sampled_from(FIELDS), specs), min_size=1, max_size=4)
    .map(lambda parts: "".join(f"{text}{{{field}{spec}}}" for text, field, spec in parts))
    .map(Template)
)


def test_every_field_can_be_used() -> None:
    text = "{volume}_{volume_id}_{region}_{date}_{time}_{job}"
    assert (
        Template(text).render(volume(), NOW, "nightly")
        == "db-1_aaaa0001_nyc3_2026-11-23_020000_nightly"
    )


def test_times_are_those_of_utc() -> None:
    at = datetime(2026, 11, 23, 1, 0, tzinfo=timezone(timedelta(hours=5)))
    assert Template("{volume}-{date}").render(volume(), at, "j") == "db-1-2026-11-22"


@given(templates, st.integers(0, 4_000_000_000).map(lambda s: datetime.fromtimestamp(s, UTC)))
def test_what_is_rendered_is_recognised(template: Template, at: datetime) -> None:
    name = template.render(volume(), at, "nightly")
    for each in (name, template.with_time(name, at)):
        assert template.matches(each, volume(), "nightly")  # N2
        assert template.is_of(each, name)
    assert not template.is_of(f"{name}-1", name)


@pytest.mark.parametrize(
    "name",
    ["db-1-2026-11-23x", "db-10-2026-11-23", "db-1-2026-1-23", "db-1-", "xdb-1-2026-11-23", ""],
)
def test_what_merely_looks_alike_is_not_recognised(name: str) -> None:
    assert not Template("{volume}-{date}").matches(name, volume(), "nightly")


@pytest.mark.parametrize(
    ("name", "is_it"),
    [
        ("db-1-2026-10", True),
        ("db-1-2", False),
        ("db-1-1999", False),
        ("db-1--", False),
        ("db-1-2026-1", False),
        ("db-1-20261-0", False),
        ("db-1-2026-10-1", False),
    ],
)
def test_a_shortened_date_is_recognised_by_its_exact_shape(name: str, is_it: bool) -> None:
    assert Template("{volume}-{date:.7}").matches(name, volume(), "nightly") is is_it


def test_letters_of_a_template_are_no_pattern() -> None:
    assert not Template("a.{volume}").matches("axdb-1", volume(), "j")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nightly", "use {volume}"),
        ("", "use {volume}"),
        ("{volume", "braces"),
        ("{}", "no field"),
        ("{0}", "no field"),
        ("{volume.__class__}", "no field"),
        ("{volume[0]}", "no field"),
        ("{token}", "no field"),
        ("{volume!r}", "to shorten"),
        ("{volume:>9999999}", "to shorten"),
        ("{volume:{region}}", "to shorten"),
    ],
)
def test_a_template_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):  # N1
        Template(text)


def test_a_long_name_can_be_shortened_in_the_template() -> None:
    long = volume(name="v" * 60)
    assert Template("{volume:.40}-{date}").render(long, NOW, "j") == "v" * 40 + "-2026-11-23"


@pytest.mark.parametrize("job", ["", "a b", "a.b", "a/b", "x" * 65, "ü", None])
def test_a_job_is_a_tag_too(job: str) -> None:
    with pytest.raises(PlanError, match="tag"):
        check_job(job)
