"""Read a jobs file: TOML with accounts and jobs; see `docs/reference/jobs-file.md`.

Every mistake is found in one reading and named with its line and with what to write instead. A
token in the file is one of them, and is not shown.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from string import Formatter
from typing import Any, Final, get_args
from urllib.parse import urlsplit

import attrs

from ..bulk.errors import PlanError
from ..bulk.files import read_text
from ..bulk.model.guards import Guards
from ..bulk.model.retention import Retention
from ..bulk.model.selection import Selection
from ..bulk.model.snapshot_names import Template, check_own_tags
from ..config import POSTGRES_SCHEMES, Config
from ..errors import ConfigError
from .model import Account, Job, JobKind, JobsFile
from .schedule import Schedule, zone_named
from .source import KeyPath, key_lines

__all__ = ["JobsFileError", "Problem", "load_jobs", "parse_jobs"]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_QUEUE: Final = 40
_TOKEN: Final = re.compile(r"do[a-z]_v1_")
_AT_LINE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
_REPORT_FIELDS: Final = ("account", "job", "date", "time")
_KINDS: Final = get_args(JobKind)


@attrs.frozen(order=True)
class Problem:
    """One mistake in a jobs file: its line, from 1, and what to write instead."""

    line: int
    message: str


class JobsFileError(ConfigError):
    """A jobs file cannot be used.

    Attributes:
        file: where it stands.
        problems: every mistake in it, in the order of its lines.
    """

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        self.file = path
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return `FILE:LINE: what is wrong` for each mistake."""
        return [f"{self.file}:{each.line}: {each.message}" for each in self.problems]


def load_jobs(path: str | Path) -> JobsFile:
    """Read a jobs file. Blocks for a moment.

    Raises:
        JobsFileError: it has mistakes, all of which it names; or it cannot be read.
    """
    where = Path(path)
    try:
        text = read_text(where)
    except PlanError as error:
        raise ConfigError(str(error)) from None
    return parse_jobs(text, where)


def parse_jobs(text: str, path: Path) -> JobsFile:
    """Read the text of a jobs file.

    Args:
        path: where it stands, for messages; paths in it are relative to its folder.

    Raises:
        JobsFileError: it has mistakes, all of which it names.
    """
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        last = text.count("\n") + 1
        line = int(found[1]) if found and found[1] else last
        raise JobsFileError(
            path, [Problem(line, f"not TOML: {_AT_LINE.sub('', str(error))}")]
        ) from None
    reader = _Reader(key_lines(text), path)
    file = reader.file(said)
    if reader.problems:
        raise JobsFileError(path, reader.problems)
    return file


# What a value may be: each function returns it as the model wants it, or raises what to write.


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError('must be a string, such as "..."')
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError('must be a list of strings, such as ["a", "b"]')
    return tuple(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("must be true or false")
    return value


def _whole(least: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(f"must be a whole number, {least} or more")
        return value

    return read


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigError("must be a share from 0 to 1, such as 0.25")
    return float(value)


def _choice(*choices: str) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        if value not in choices:
            nearest = _nearest(value, choices)
            raise ConfigError(f"must be one of {', '.join(choices)}{nearest}")
        return value

    return read


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ConfigError("must be letters, digits, _ and -, at most 64")
    return value


def _queue_name(value: object) -> str:
    # PostgreSQL's channels, one for each queue, have short names.
    if len(_name(value)) > _LONGEST_QUEUE:
        raise ConfigError(f"must be at most {_LONGEST_QUEUE} letters long")
    return _name(value)


def _variable(value: object) -> str:
    text = _text(value)
    if _TOKEN.match(text):
        raise ConfigError(
            "names the environment variable that holds the token; this is a token: take it out of "
            "the file, and consider it published where the file was"
        )
    if not _VARIABLE.fullmatch(text):
        raise ConfigError('names an environment variable, such as "SHOP_TOKEN"')
    return text


def _zone(value: object) -> str:
    zone_named(_text(value))
    return _text(value)


def _database(value: object) -> str:
    if not isinstance(value, str) or urlsplit(value).scheme not in POSTGRES_SCHEMES:
        # Not quoted: it may hold a password.
        raise ConfigError("must be the URL of a PostgreSQL, such as postgresql://user@host/name")
    if "#" in value:
        raise ConfigError("must end before the #: each run names its journal there")
    return value


def _budget(value: object) -> str:
    return Config(budget=_text(value)).budget


def _url(value: object) -> str:
    text = _text(value)
    if urlsplit(text).scheme not in {"http", "https"} or not urlsplit(text).hostname:
        raise ConfigError('must be a URL, such as "https://api.digitalocean.com"')
    return text


def _template(value: object) -> str:
    return Template(_text(value)).text


def _own_tags(value: object) -> tuple[str, ...]:
    return check_own_tags(Selection(tags=_texts(value)).tags)


def _report(value: object) -> str:
    text = _text(value)
    try:
        fields = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
    except ValueError:
        fields = {"?"}
    if not fields <= set(_REPORT_FIELDS):
        known = ", ".join(f"{{{name}}}" for name in _REPORT_FIELDS)
        raise ConfigError(f"knows no other fields than {known}")
    return text


def _nearest(word: object, known: Iterable[str]) -> str:
    found = get_close_matches(str(word), list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


_SELECT: Final[Mapping[str, Callable[[object], Any]]] = {
    "regions": _texts,
    "tags": _texts,
    "exclude_tags": _texts,
    "name": _text,
    "attached": _flag,
}
_KEEP: Final[Mapping[str, Callable[[object], Any]]] = {
    **dict.fromkeys(("last", "hourly", "daily", "weekly", "monthly", "yearly"), _whole(-1)),
    "within": _text,
    "tags": _texts,
}
_ACCOUNT: Final[Mapping[str, Callable[[object], Any]]] = {
    "token_env": _variable,
    "token_file": _text,
    "base_url": _url,
}
_TOP: Final[Mapping[str, Callable[[object], Any]]] = {
    "name": _queue_name,
    "database": _database,
    "budget": _budget,
    "time_zone": _zone,
    "keep_days": _whole(1),
}
_TABLES: Final = ("accounts", "jobs")

_SNAPSHOTS: Final = ("snapshot", "delete", "orphan-delete")
_DELETIONS: Final = ("snapshot", "prune", "delete", "orphan-delete")
_PLANS: Final = (*_DELETIONS, "orphan-tags")
# The options of a job: how each is read, and which kinds have it.
_OPTIONS: Final[Mapping[str, tuple[Callable[[object], Any], tuple[str, ...]]]] = {
    "kind": (_choice(*_KINDS), _KINDS),
    "accounts": (_texts, _KINDS),
    "cron": (_text, _KINDS),
    "time_zone": (_zone, _KINDS),
    "report": (_report, _KINDS),
    "match_by": (_choice("tag", "name"), ("snapshot", "prune")),
    "max_pruned_share": (_share, ("snapshot", "prune")),
    "snapshots_of": (_name, ("prune",)),
    "name_template": (_template, (*_SNAPSHOTS, "prune")),
    "tags": (_own_tags, _SNAPSHOTS),
    "snapshot_first": (_flag, ("delete", "orphan-delete")),
    "grace_days": (_whole(0), ("orphan-delete",)),
    "prefix": (_text, ("orphan-tags", "orphan-delete")),
    "snapshots": (_flag, ("inventory",)),
    "max_failures": (_whole(0), _PLANS),
    "max_items": (_whole(0), _DELETIONS),
    "max_share": (_share, _DELETIONS),
    "concurrency": (_whole(1), _PLANS),
    "per_region": (_whole(1), _PLANS),
}
_JOB_TABLES: Final = {"select": _KINDS, "keep": ("snapshot", "prune")}


class _Reader:
    """Reads tables of one file, and collects what is wrong in them."""

    def __init__(self, lines: Mapping[KeyPath, int], path: Path) -> None:
        self._lines = lines
        self._path = path
        self.problems: list[Problem] = []

    def wrong(self, path: KeyPath, message: str) -> None:
        """Note a mistake at the key, or at the table around it where there is no such key."""
        while path and path not in self._lines:
            path = path[:-1]
        self.problems.append(Problem(self._lines.get(path, 1), message))

    def file(self, said: Mapping[str, Any]) -> JobsFile:
        """Read the whole document."""
        values = self._values(
            said, (), {**_TOP, **dict.fromkeys(_TABLES, lambda value: value)}, "the file"
        )
        accounts = {
            name: self._account(name, table)
            for name, table in self._tables(
                said, "accounts", '[accounts.shop] with token_env = "…"'
            )
        }
        self._check_tokens(accounts)
        zone = values.get("time_zone", "UTC")
        jobs = {
            name: self._job(name, table, accounts, zone)
            for name, table in self._tables(said, "jobs", '[jobs.nightly] with kind = "snapshot"')
        }
        stem = re.sub(r"[^A-Za-z0-9_-]", "-", self._path.stem)[:_LONGEST_QUEUE] or "jobs"
        for name in _TABLES:
            values.pop(name, None)
        values.pop("time_zone", None)
        return JobsFile(path=self._path, accounts=accounts, jobs=jobs, **{"name": stem, **values})

    def _tables(
        self, said: Mapping[str, Any], name: str, example: str
    ) -> Iterable[tuple[str, Mapping[str, Any]]]:
        found = said.get(name)
        if not isinstance(found, Mapping) or not found:
            self.wrong((name,), f"no {name}: write {example}")
            return
        for each, table in found.items():
            if not _NAME.fullmatch(each):
                self.wrong(
                    (name, each), f"{each!r}: a name has letters, digits, _ and -, at most 64"
                )
            if isinstance(table, Mapping):
                yield each, table
            else:
                self.wrong((name, each), f"{each} must be a table: write [{name}.{each}]")

    def _values(
        self,
        said: Mapping[str, Any],
        path: KeyPath,
        readers: Mapping[str, Callable[[object], Any]],
        what: str,
    ) -> dict[str, Any]:
        """Read the values of a table; what is wrong is noted and left out."""
        found: dict[str, Any] = {}
        for key, value in said.items():
            here = (*path, key)
            if key not in readers:
                self.wrong(here, f"{what} has no {key!r}{_nearest(key, readers)}")
                continue
            try:
                found[key] = readers[key](value)
            except (ValueError, ConfigError) as error:
                self.wrong(here, f"{key}: {error}")
        return found

    def _account(self, name: str, said: Mapping[str, Any]) -> Account:
        path = ("accounts", name)
        if "token" in said:
            self.wrong(
                (*path, "token"),
                "a token does not belong into this file: write token_env with the name of an "
                "environment variable, or token_file with the path of a file that holds it",
            )
        named = {key: value for key, value in said.items() if key != "token"}
        values = self._values(named, path, _ACCOUNT, f"account {name}")
        places = {"token_env", "token_file"} & set(said)
        if not places and said.keys() <= _ACCOUNT.keys():  # Else it may be that key.
            self.wrong(
                path,
                f"account {name} has no token: write "
                f'token_env = "{name.upper().replace("-", "_")}_TOKEN", or token_file = "…"',
            )
        elif len(places) > 1:
            self.wrong((*path, "token_file"), "token_env and token_file exclude each other")
        if "token_file" in values:
            values["token_file"] = self._path.parent / Path(values["token_file"]).expanduser()
        return Account(name=name, **values)

    def _check_tokens(self, accounts: Mapping[str, Account]) -> None:
        """Two names of one token would run one job twice at once."""
        seen: dict[object, str] = {}
        for account in accounts.values():
            place = account.token_file or account.token_env
            if (
                place is not None
                and (other := seen.setdefault(place, account.name)) != account.name
            ):
                self.wrong(
                    ("accounts", account.name),
                    f"accounts {other} and {account.name} have one token: remove one of them",
                )

    def _job(
        self, name: str, said: Mapping[str, Any], accounts: Mapping[str, Account], zone: str
    ) -> Job:
        path = ("jobs", name)
        kind = said.get("kind")
        if kind is None:
            self.wrong(path, f"job {name} has no kind: write kind = one of {', '.join(_KINDS)}")
        is_known = kind in _KINDS
        readers = {
            key: read for key, (read, kinds) in _OPTIONS.items() if not is_known or kind in kinds
        }
        tables = {key for key, kinds in _JOB_TABLES.items() if not is_known or kind in kinds}
        simple = {key: value for key, value in said.items() if key not in tables}
        named = f"a job of kind {kind}" if is_known else "a job"
        values = self._values(simple, path, {**readers, **dict.fromkeys(tables, _flag)}, named)
        values |= {
            key: value
            for key, read, make in (
                ("select", _SELECT, Selection),
                ("keep", _KEEP, Retention),
            )
            if key in tables and key in said
            if (value := self._table_value(said[key], (*path, key), read, make)) is not None
        }
        values.setdefault("time_zone", zone)
        values["schedule"] = self._schedule(values.pop("cron", None), values["time_zone"], path)
        values["accounts"] = self._of_accounts(values.get("accounts"), accounts, path)
        self._check_job(name, kind, said, values)
        return Job(name=name, **{"kind": "inventory", **values})

    def _table_value(
        self,
        said: object,
        path: KeyPath,
        readers: Mapping[str, Callable[[object], Any]],
        make: Callable[..., Any],
    ) -> Any:
        if not isinstance(said, Mapping):
            self.wrong(path, f"{path[-1]} must be a table: write {path[-1]} = {{ … }}")
            return None
        before = len(self.problems)
        values = self._values(said, path, readers, path[-1])
        if len(self.problems) > before:
            return None
        try:
            return make(**values)
        except (ValueError, ConfigError) as error:
            self.wrong(path, f"{path[-1]}: {error}")
            return None

    def _schedule(self, cron: str | None, zone: str, path: KeyPath) -> Schedule | None:
        if cron is None:
            return None
        try:
            return Schedule(cron, zone)
        except ConfigError as error:
            self.wrong((*path, "cron"), f"cron: {error}")
            return None

    def _of_accounts(
        self, named: tuple[str, ...] | None, accounts: Mapping[str, Account], path: KeyPath
    ) -> tuple[str, ...]:
        if named is None:
            return tuple(accounts)
        if not named:
            self.wrong((*path, "accounts"), "accounts: leave it out for all, or name some")
        for each in named:
            if each not in accounts:
                self.wrong(
                    (*path, "accounts"),
                    f"accounts: there is no account {each!r}{_nearest(each, accounts)}",
                )
        return tuple(dict.fromkeys(named))

    def _check_job(
        self, name: str, kind: object, said: Mapping[str, Any], values: Mapping[str, Any]
    ) -> None:
        """Check what no key alone can show."""
        path = ("jobs", name)
        if kind == "prune" and "keep" not in said:
            self.wrong(path, "a prune needs to know what to keep: write keep = { daily = 7 }")
        selected = values.get("select")
        if kind == "delete" and (
            "select" not in said or (selected is not None and selected.is_everything)
        ):
            self.wrong(
                (*path, "select"),
                'a delete needs a selection: write select = { tags = ["…"] } or the like',
            )
        report = values.get("report")
        if report and len(values["accounts"]) > 1 and "{account}" not in report:
            self.wrong(
                (*path, "report"),
                "report: each account would replace the report of the others: use {account} in it",
            )
        guards = {key: values[key] for key in ("max_items", "max_share") if key in values}
        Guards(**guards)
