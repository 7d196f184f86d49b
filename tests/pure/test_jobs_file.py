"""Jobs files: what they say, and every mistake with its line and what to write instead."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async import ConfigError
from do_blockstore_async.bulk import Retention, Selection
from do_blockstore_async.jobs import (
    Account,
    Job,
    JobsFileError,
    Problem,
    Schedule,
    load_jobs,
    parse_jobs,
    read_token,
    read_token_file,
    read_tokens,
)
from do_blockstore_async.jobs.file import (
    _ACCOUNT,
    _JOB_TABLES,
    _KEEP,
    _OPTIONS,
    _SELECT,
    _TOP,
)
from do_blockstore_async.jobs.model import JobKind
from do_blockstore_async.jobs.source import key_lines

ROOT = Path(__file__).parents[2]
TOKEN = "dop_v1_" + "0123456789abcdef" * 4
PATH = Path("/etc/do-blockstore/fleet.toml")
WHOLE = """\
name = "fleet"
database = "postgresql://jobs:hunter2@db.internal/jobs"
budget = "redis://cache.internal/0"
time_zone = "Europe/Rome"
keep_days = 30

[accounts.shop]
token_env = "SHOP_TOKEN"

[accounts.lab]
token_file = "lab-token"
base_url = "http://127.0.0.1:8080"

[jobs.nightly]
kind = "snapshot"
accounts = ["lab"]
cron = "30 2 * * *"
name_template = "{volume}-{date}"
tags = ["nightly"]
max_failures = 3
report = "reports/{account}-{date}.json"
select = { regions = ["nyc3"], tags = ["prod"], exclude_tags = ["tmp"], name = "db-*" }

[jobs.nightly.keep]
daily = 7
within = "2d"

[jobs.prune]
kind = "prune"
snapshots_of = "nightly"
cron = "0 4 * * SUN"
time_zone = "UTC"
keep = { last = 2 }
max_share = 0.5

[jobs.orphans]
kind = "orphan-delete"
grace_days = 14
snapshot_first = true
select = { attached = false }
"""


def problems(text: str) -> list[tuple[int, str]]:
    with pytest.raises(JobsFileError) as caught:
        parse_jobs(text, PATH)
    for line in caught.value.lines():
        assert line.startswith(f"{PATH}:")
    return [(each.line, each.message) for each in caught.value.problems]


def test_everything_that_a_file_can_say() -> None:
    file = parse_jobs(WHOLE, PATH)
    assert (file.name, file.budget, file.keep_days) == ("fleet", "redis://cache.internal/0", 30)
    assert file.database == "postgresql://jobs:hunter2@db.internal/jobs"
    assert "hunter2" not in repr(file)
    assert file.accounts == {
        "shop": Account(name="shop", token_env="SHOP_TOKEN"),
        "lab": Account(
            name="lab",
            token_file=Path("/etc/do-blockstore/lab-token"),
            base_url="http://127.0.0.1:8080",
        ),
    }
    assert file.jobs["nightly"] == Job(
        name="nightly",
        kind="snapshot",
        accounts=("lab",),
        schedule=Schedule("30 2 * * *", "Europe/Rome"),
        time_zone="Europe/Rome",
        select=Selection(regions=["nyc3"], tags=["prod"], exclude_tags=["tmp"], name="db-*"),
        keep=Retention(daily=7, within="2d"),
        name_template="{volume}-{date}",
        tags=("nightly",),
        max_failures=3,
        report="reports/{account}-{date}.json",
    )
    prune = file.jobs["prune"]
    assert prune.accounts == ("shop", "lab")
    assert prune.schedule == Schedule("0 4 * * SUN", "UTC")
    assert (prune.snapshots_of, prune.keep, prune.max_share) == ("nightly", Retention(last=2), 0.5)
    orphans = file.jobs["orphans"]
    assert (orphans.grace_days, orphans.snapshot_first, orphans.schedule) == (14, True, None)


def test_a_file_is_called_by_its_path_where_it_has_no_name() -> None:
    text = WHOLE.replace('name = "fleet"', "", 1)
    assert parse_jobs(text, Path("/x/my jobs.toml")).name == "my-jobs"


@pytest.mark.parametrize("page", ["docs/howto/fleet.md", "examples/fleet/jobs.toml"])
def test_the_files_that_are_shown_are_right(page: str) -> None:
    text = (ROOT / page).read_text()
    shown = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) or [text]
    for each in shown:
        assert parse_jobs(each, PATH).jobs


def test_the_reference_has_every_key() -> None:
    page = (ROOT / "docs/reference/jobs-file.md").read_text()
    keys = set(_TOP) | set(_ACCOUNT) | set(_OPTIONS) | set(_JOB_TABLES) | set(_SELECT) | set(_KEEP)
    assert not {key for key in keys if f"`{key}`" not in page}
    for key, (_, kinds) in _OPTIONS.items():
        if key in {"kind", "max_items", "max_share", "per_region", "concurrency", "max_failures"}:
            continue
        (said,) = re.findall(rf"^\| `{key}` \| (.*?) \|", page.partition("[jobs.NAME]")[2], re.M)
        assert said == ("all" if len(kinds) == 6 else ", ".join(sort_kinds(kinds))), key


def sort_kinds(kinds: tuple[str, ...]) -> list[str]:
    return sorted(kinds, key=get_args(JobKind).index)


# Mistakes: each with its line, and what to write instead.

GOOD = '[accounts.shop]\ntoken_env = "SHOP_TOKEN"\n[jobs.nightly]\nkind = "snapshot"\n'
DELETE = GOOD.replace("snapshot", "delete")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        # Keys.
        (f'datbase = "x"\n{GOOD}', 1, "did you mean database"),
        (f"{GOOD}crom = '30 2 * * *'", 5, "did you mean cron"),
        (f"{GOOD}keep = {{ dayly = 7 }}", 5, "did you mean daily"),
        (f"{GOOD}[jobs.nightly.select]\ntag = ['a']", 6, "did you mean tags"),
        (f"{GOOD}grace_days = 3", 5, "a job of kind snapshot has no 'grace_days'"),
        (GOOD.replace("token_env", "token_evn"), 2, "did you mean token_env"),
        (f'{GOOD}kind = "prune"', 5, "Cannot overwrite a value"),
        # Values.
        (f'time_zone = "Europe/Rom"\n{GOOD}', 1, "such as Europe/Rome"),
        (f'{GOOD}time_zone = "Mars/Base"', 5, "such as Europe/Rome"),
        (f'{GOOD}cron = "61 2 * * *"', 5, "five fields"),
        (f'{GOOD}cron = "0 0 31 2 *"', 5, "day"),
        (f"{GOOD}cron = 5", 5, "must be a string"),
        (GOOD.replace("snapshot", "snapshto"), 4, "did you mean snapshot"),
        (f'{GOOD}tags = "prod"', 5, "list of strings"),
        (f'{GOOD}tags = [\n  "bulk-job:other",\n]', 5, "bulk-job:other"),
        (f"{GOOD}select = {{ attached = 'yes' }}", 5, "true or false"),
        (f"{GOOD}select = {{ regions = ['NYC 3'] }}", 5, "select"),
        (f"{GOOD}select = 'prod'", 5, "must be a table"),
        (f"{GOOD}keep = {{}}", 5, "at least one rule"),
        (f"{GOOD}keep = {{ daily = -2 }}", 5, "whole number"),
        (f"{GOOD}keep = {{ within = 'soon' }}", 5, "1y5m7d2h"),
        (f"{GOOD}max_share = 25", 5, "from 0 to 1"),
        (f"{GOOD}max_failures = true", 5, "whole number"),
        (f"{GOOD}concurrency = 0", 5, "1 or more"),
        (f"{GOOD}name_template = '{{nothing}}'", 5, "no field"),
        (f"{GOOD}report = '{{host}}.csv'", 5, "{account}"),
        (f'database = "mysql://u:hunter2@h/x"\n{GOOD}', 1, "postgresql://"),
        (f'database = "postgresql://h/x#y"\n{GOOD}', 1, "before the #"),
        (f'budget = "elsewhere"\n{GOOD}', 1, "machine"),
        (f"name = '{'x' * 41}'\n{GOOD}", 1, "at most 40"),
        # Accounts.
        ("[accounts.shop]\n[jobs.n]\nkind = 'inventory'", 1, 'token_env = "SHOP_TOKEN"'),
        (GOOD + '[accounts.b]\ntoken_env = "SHOP_TOKEN"', 5, "have one token"),
        (GOOD + '[accounts.b]\ntoken_env = "A"\ntoken_file = "b"', 7, "exclude each other"),
        (GOOD + "[accounts.b]\ntoken_env = 'not a name'", 6, "environment variable"),
        (GOOD + "[accounts.b]\ntoken_env = 'B'\nbase_url = 'here'", 7, "must be a URL"),
        (GOOD + '["accounts"."a b"]\ntoken_env = "B"', 5, "letters, digits"),
        (f'{GOOD}accounts = ["shpo"]', 5, "did you mean shop"),
        (f"{GOOD}accounts = []", 5, "leave it out for all"),
        ("[jobs.n]\nkind = 'inventory'", 1, "no accounts"),
        ("[accounts.shop]\ntoken_env = 'A'", 1, "no jobs"),
        ("accounts = 3\n[jobs.n]\nkind = 'inventory'", 1, "no accounts"),
        ("[accounts]\nshop = 3\n[jobs.n]\nkind = 'inventory'", 2, "[accounts.shop]"),
        # Jobs.
        (GOOD.replace('kind = "snapshot"', "max_failures = 1"), 3, "no kind"),
        (GOOD.replace("snapshot", "prune"), 3, "what to keep"),
        (DELETE, 3, "needs a selection"),
        (DELETE + "select = {}", 5, "needs a selection"),
        (GOOD + '[accounts.b]\ntoken_env = "B"\n[jobs.i]\nkind = "inventory"\nreport = "i.csv"', 9,
         "use {account}"),
        # TOML.
        (f"{GOOD}cron = ", 5, "not TOML"),
        (f"{GOOD}tags = [", 5, "not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line_and_what_to_write(
    text: str, line: int, says: str
) -> None:
    ((found_line, message),) = problems(text)
    assert says in message
    assert found_line == line
    assert "hunter2" not in message


def test_all_mistakes_are_named_at_once() -> None:
    text = WHOLE.replace("SHOP_TOKEN", "no name").replace("30 2 *", "99 2 *").replace("SUN", "SON")
    assert [line for line, _ in problems(text)] == [8, 17, 31]


@pytest.mark.parametrize("key", ["token", "token_env"])
def test_a_token_in_the_file_is_refused_and_not_shown(key: str) -> None:
    text = f'[accounts.shop]\n{key} = "{TOKEN}"\n[jobs.n]\nkind = "inventory"\n'
    ((line, message),) = problems(text)
    assert line == 2
    assert "token" in message
    assert TOKEN not in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_jobs(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_jobs(tmp_path / "latin.toml")


# Lines.

names = st.from_regex(r"[a-z]{1,5}", fullmatch=True)
values = st.sampled_from(
    ["1", '"x"', "[1,\n  2, # two\n]", '"""\n[not.a.table]\nkey = 1\n"""', "{ a = 1 }", "'#'"]
)


@given(st.dictionaries(names, st.dictionaries(names, values, max_size=4), max_size=4))
def test_the_line_of_a_key_is_where_it_stands(tables: dict[str, dict[str, str]]) -> None:
    lines = ["# a comment", ""]
    wanted: dict[tuple[str, ...], int] = {}
    for table, keys in tables.items():
        lines.append(f"[{table}]  # = [")
        wanted[(table,)] = len(lines)
        for key, value in keys.items():
            lines += f"{key} = {value}".split("\n")
            wanted[(table, key)] = len(lines) - value.count("\n")
        lines.append("")
    text = "\n".join(lines)
    tomllib.loads(text)
    found = key_lines(text)
    assert {path: line for path, line in found.items() if len(path) < 3} == wanted


@given(st.text(max_size=200), st.integers(0, len(WHOLE)), st.integers(0, 40))
def test_whatever_a_file_holds_it_is_read_or_refused(text: str, at: int, length: int) -> None:
    damaged = WHOLE[:at] + text + WHOLE[at + length :]
    found: tuple[Problem, ...] = (Problem(1, "none"),)
    try:
        parse_jobs(damaged, PATH)
    except JobsFileError as error:
        found = error.problems
    assert found
    assert all(1 <= each.line <= damaged.count("\n") + 1 for each in found)


# Tokens.


def file_of(tmp_path: Path, **places: str) -> Any:
    accounts = {name: Account(name=name, token_env=place) for name, place in places.items()}
    return attrs.evolve(parse_jobs(GOOD, tmp_path / "f.toml"), accounts=accounts)


def test_tokens_are_read_from_where_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"\n{TOKEN}\n")
    in_file = Account(name="a", token_file=tmp_path / "token")
    assert read_token(in_file, {}) == TOKEN
    assert read_token(Account(name="a", token_env="A"), {"A": f" {TOKEN}\n"}) == TOKEN
    assert read_tokens(file_of(tmp_path, a="A", b="B"), {"A": "1", "B": "2"}) == {
        "a": "1",
        "b": "2",
    }
    assert read_tokens(file_of(tmp_path, a="A", b="B"), {"A": "1"}, ("a",)) == {"a": "1"}


def test_all_accounts_without_a_token_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"variable A;.*variable B"):
        read_tokens(file_of(tmp_path, a="A", b="B"), {"B": " "})
    with pytest.raises(ConfigError, match="No such file"):
        read_token_file(tmp_path / "none")
    (tmp_path / "two").write_text(f"{TOKEN}\nmore")
    with pytest.raises(ConfigError, match="2 lines") as caught:
        read_token_file(tmp_path / "two")
    assert TOKEN not in str(caught.value)


def test_two_names_of_one_token_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a and b have one token") as caught:
        read_tokens(file_of(tmp_path, a="A", b="B"), {"A": TOKEN, "B": TOKEN})
    assert TOKEN not in str(caught.value)
