"""Help pages, the manual page and what completion reads: as the commands really are."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async.cli.app import Call, PageRequest, read
from do_blockstore_async.cli.completion.candidates import candidates, program_words, read_line
from do_blockstore_async.cli.exit_codes import MistypedError
from do_blockstore_async.cli.help import pages
from do_blockstore_async.cli.help.table import EVERYWHERE, usages
from do_blockstore_async.cli.registry import ALIASES, COMMANDS, GROUPS, SECTIONS, words_of

GENERATE = Path(__file__).parents[2] / "docs" / "generate.py"


def test_what_is_made_from_the_commands_is_as_they_are() -> None:
    spec = importlib.util.spec_from_file_location("generate", GENERATE)
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    files: dict[Path, str] = generate.committed()
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, "run: python docs/generate.py"
    assert len(files) == 2


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_pages_fit_the_terminal(width: int) -> None:
    wanted = [(), *((group,) for group in GROUPS), *(tuple(c.words.split()) for c in COMMANDS)]
    for words in wanted:
        for line in pages.page_of(words, width).splitlines():
            # Lines to be copied are whole; a word longer than the terminal is not cut.
            copied = line.startswith("  do-blockstore ")
            assert copied or len(line) <= width or " " not in line.strip(), (words, line)


def test_the_first_page_names_every_group_and_single_command_once() -> None:
    listed = [word for words in SECTIONS.values() for word in words]
    assert sorted(listed) == sorted(words_of())


def test_options_of_every_command_take_one_line_and_a_page_of_their_own() -> None:
    page = pages.page_of(("volumes", "list"), 80)
    (line,) = [each for each in page.splitlines() if "every command" in each]
    assert "--help-global" in line
    assert "--verbose" not in page
    for option in usages()[EVERYWHERE].options:
        assert max(option.names, key=len) in pages.global_page(80)


def test_no_alias_hides_a_command() -> None:
    words = {word for group in (None, *GROUPS) for word in words_of(group)}
    for alias, full in ALIASES.items():
        assert full in words
        for group in (None, *GROUPS):
            assert not {alias, full} <= set(words_of(group)), alias


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("volumes ls", "volumes list"),
        ("vol rm a --region nyc3", "volumes delete"),
        ("volume show 506f78a4-e098-11e5-ad9f-000f53306ae1", "volumes get"),
        ("snap ls", "snapshots list"),
        ("bulk snapshot", "bulk snapshot"),
        ("-o json volumes list", "volumes list"),
        ("volumes list --output=json", "volumes list"),
        ("volumes --verbose list", "volumes list"),
        ("--simulate bulk rm", "bulk delete"),
    ],
)
def test_aliases_and_options_stand_where_people_put_them(typed: str, words: str) -> None:
    asked = read(typed.split())
    assert isinstance(asked, Call)
    assert asked.command.words == words


@pytest.mark.parametrize(
    ("typed", "page"),
    [
        ("", PageRequest()),
        ("--help", PageRequest()),
        ("--version", PageRequest(kind="version")),
        ("-V", PageRequest(kind="version")),
        ("version", PageRequest(kind="version")),
        ("volumes list --version", PageRequest(kind="version")),
        ("volumes list --help-global", PageRequest(kind="global")),
        ("volumes", PageRequest(("volumes",), mistaken=True)),
        ("bulk", PageRequest(("bulk",), mistaken=True)),
        ("jobs -v", PageRequest(("jobs",), mistaken=True)),
        ("-o json bulk", PageRequest(("bulk",), mistaken=True)),
        ("vol ls -h", PageRequest(("volumes", "list"))),
        ("--output json volumes list --help", PageRequest(("volumes", "list"))),
    ],
)
def test_pages_instead_of_commands(typed: str, page: PageRequest) -> None:
    assert read(typed.split()) == page


@pytest.mark.parametrize(
    ("typed", "says", "where"),
    [
        ("volumes list extra", "unexpected argument: extra", "volumes list"),
        ("regions list a b", "unexpected argument: a", "regions list"),
        ("volumes create db --size 10", "missing --region", "volumes create"),
        ("volumes create --region nyc3", "missing NAME", "volumes create"),
        ("volumes list --region", "--region needs a value", "volumes list"),
        ("-o", "-o needs a value", ""),
        ("volumes list -o yaml", "-o takes table, ", "volumes list"),
        ("volumes list --output jsno", "did you mean json?", "volumes list"),
        ("jobs worker a.toml --concurrency many", "--concurrency takes a whole number, not 'many'",
         "jobs worker"),
        ("volumes create db --regin nyc3", "unknown option: --regin; did you mean --region?",
         "volumes create"),
        ("actions get 1 two", "ACTION_ID takes a whole number, not 'two'", "actions get"),
        ("volumes list --regin nyc3", "unknown option: --regin; did you mean --region?",
         "volumes list"),
        ("volumes list --zebra", "unknown option: --zebra", "volumes list"),
        ("volumes create db --region a --region b", "--region is given more than once",
         "volumes create"),
        ("volumz list", "unknown command: volumz; did you mean volumes?", ""),
        ("volumes lisst", "unknown command: lisst; did you mean list?", "volumes"),
        ("prune", "unknown command: prune; did you mean bulk prune?", ""),
        ("zebra", "unknown command: zebra", ""),
        ("--region nyc3 volumes list", "--region stands too early", ""),
        ("volumes --region nyc3 list", "--region stands too early", "volumes"),
        ("--quite volumes list", "unknown option: --quite; did you mean --quiet?", ""),
        ("--token abc volumes list", "use --token-file FILE", ""),
        ("volumes --token=abc list", "use --token-file FILE", "volumes"),
        ("--token abc simulator", "--token stands too early", ""),
        ("-- volumes list", "-- stands after the words of a command", ""),
        ("volumes -- list", "-- stands after the words of a command", "volumes"),
        ("volumes list -- --zebra", "unexpected argument: --zebra", "volumes list"),
        ("volumes get a -- --region", "unexpected argument: --region", "volumes get"),
        ("list", "did you mean volumes list, snapshots list, ", ""),
        ("completion tcsh", "SHELL takes bash, zsh or fish, not 'tcsh'", "completion"),
    ],
)  # fmt: skip
def test_mistypings_are_named_in_a_persons_words(typed: str, says: str, where: str) -> None:
    with pytest.raises(MistypedError) as caught:
        read(typed.split())
    assert says in str(caught.value)
    assert caught.value.where == where or says.startswith(("-o takes", "did you mean json", "-o n"))
    assert "\n" not in str(caught.value)


# Completion.


def completed(text: str) -> list[str]:
    words = program_words(text)
    values = {"regions": [("nyc3", "New York 3")], "volumes": [("db-1", "10 GiB")],
              "tags": [("nightly", "")]}  # fmt: skip
    answer = candidates(read_line(words[:-1]), words[-1], lambda kind: values.get(kind, []))
    return [value for value, _ in answer.found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("do-blockstore vol", ["volumes"]),
        ("do-blockstore volumes l", ["list"]),
        ("do-blockstore vol l", ["list"]),
        ("do-blockstore bulk snapshot --keep-l", ["--keep-last"]),
        ("do-blockstore volumes list --outp", ["--output"]),
        ("do-blockstore volumes list --region ", ["nyc3"]),
        ("do-blockstore volumes list --region=n", ["--region=nyc3"]),
        ("do-blockstore volumes create db --region nyc3 --reg", []),
        ("do-blockstore bulk snapshot --region nyc3 --reg", ["--region"]),
        ("do-blockstore volumes 'list' --region \"n", ["nyc3"]),
        ("do-blockstore actions list ", ["db-1"]),
        ("do-blockstore actions list 506f ", []),
        ("do-blockstore volumes create --filesystem-type ", ["ext4", "xfs"]),
        ("do-blockstore help bulk pr", ["prune"]),
        ("do-blockstore completion ", ["bash", "zsh", "fish"]),
        ("do-blockstore nonsense ", list(words_of())),
        ("do-blockstore volumes list --verbose --verb", []),
        ("do-blockstore volumes list -- --", []),
        ("do-blockstore volumes list --tag n", ["nightly"]),
        ("do-blockstore bulk prune --exclude-tag ", ["nightly"]),
    ],
)
def test_what_may_come_next_is_offered(text: str, found: list[str]) -> None:
    assert completed(text) == found


@given(text=st.text("ab -='\"\\:,\n~$volumeslist", max_size=60))
def test_no_line_stops_completion(text: str) -> None:
    completed(f"do-blockstore {text}")


def test_every_option_and_command_is_offered() -> None:
    for command in COMMANDS:
        offered = set(completed(f"do-blockstore {command.words} --"))
        wanted = {max(option.names, key=len) for option in usages()[command.words].options}
        assert wanted <= offered, command.words


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_the_manual_page_has_no_mistakes() -> None:
    page = GENERATE.parent / "man" / "do-blockstore.1"
    # Without the warnings: one wants a date, which would make the page change with the day.
    done = subprocess.run(  # noqa: S603
        ["mandoc", "-T", "lint", "-W", "error", str(page)],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_completion_and_help_load_neither_the_parser_nor_the_client() -> None:
    heavy = "{'cyclopts', 'attrs', 'attr', 'rich', 'aiohttp', 'asyncio', 'subprocess'}"
    script = (
        "import sys; sys.argv = ['do-blockstore', *sys.argv[1:]]\n"
        "import os; os._exit = lambda code: None\n"
        "from do_blockstore_async.cli import main\n"
        f"main(); print('LOADED', sorted({heavy} & set(sys.modules)))"
    )
    for words in (["__complete", "zsh", "volumes", ""], ["volumes", "list", "--help"]):
        done = subprocess.run(  # noqa: S603 -- our own words
            [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("LOADED []\n"), done.stdout[-200:]
