"""Pages in a real browser: the report of an inventory, and the live pages of two commands."""

from __future__ import annotations

import asyncio
import re
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from do_blockstore_async.bulk import Inventory, InventoryRow, Prices
from do_blockstore_async.cli.pages.figures import figures_of
from do_blockstore_async.cli.pages.live import serve_page
from do_blockstore_async.cli.pages.report import report_page
from do_blockstore_async.cli.pages.runs import RunsUnderWay
from do_blockstore_async.cli.pages.sources import SimulatorSource
from do_blockstore_async.simulator import Simulator
from tests.support.browser import Tab, chromium, open_tab
from tests.support.cli import (
    CANARY,
    PROGRAM,
    Here,
    Server,
    Terminal,
    environment,
    without_styles,
)
from tests.support.documentation import ROOT

needs_browser = pytest.mark.skipif(chromium() is None, reason="no Chromium is installed")
NOW = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"


def row(number: int, **changes: Any) -> InventoryRow:
    plain = InventoryRow(
        volume_id=f"aaaa{number:04x}",
        name=f"db-{number}",
        region=("nyc3", "ams3")[number % 2],
        size_gigabytes=number,
        age_days=float(number),
        droplet_id=number if number % 3 else None,
        tags=("prod",) if number % 5 else (),
        snapshots=1,
        snapshots_gigabytes=1.0,
        newest_snapshot_at=NOW - timedelta(days=number % 10),
        monthly_cost=number / 10,
    )
    return replace(plain, **changes)


async def click(tab: Tab, selector: str) -> None:
    await tab.evaluate(f"document.querySelector({selector!r}).click()")


async def names(tab: Tab) -> list[str]:
    found = await tab.evaluate(
        "[...document.querySelectorAll('#volumes tbody th')].map((th) => th.firstChild.data)"
    )
    return list(found)


async def search(tab: Tab, words: str) -> list[str]:
    await tab.evaluate(
        "(() => { const box = document.getElementById('search');"
        f"box.value = {words!r}; box.dispatchEvent(new Event('input')); }})()"
    )
    return await names(tab)


@needs_browser
async def test_a_report_sorts_filters_and_keeps_to_itself(tmp_path: Path) -> None:
    rows = [*map(row, range(1, 251)), row(251, name=HOSTILE, tags=(HOSTILE,), region=HOSTILE)]
    figures = figures_of(
        Inventory(tuple(rows), NOW, "USD"), Prices(),
        scope=HOSTILE, with_snapshots=True, unprotected_days=7,
    )  # fmt: skip
    page = tmp_path / "report.html"
    page.write_text(report_page(figures))
    async with open_tab(tmp_path / "profile", page.as_uri()) as tab:
        await tab.until("document.documentElement.dataset.ready")
        # The dearest come first, a hundred at a time. What is hostile is text.
        assert (await names(tab))[:2] == [HOSTILE, "db-250"]
        assert len(await names(tab)) == 100
        assert await tab.evaluate("document.title") == "Block storage, 2026-11-28"
        assert not await tab.evaluate("document.querySelectorAll('img').length")

        # By a click, and by the keyboard: numbers in names count as numbers.
        await click(tab, "th[data-column='0'] button")
        assert (await names(tab))[1:4] == ["db-1", "db-2", "db-3"]
        await tab.evaluate("document.querySelector(\"th[data-column='0'] button\").focus()")
        for kind in ("keyDown", "keyUp"):
            await tab.call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                windowsVirtualKeyCode=13,
            )  # fmt: skip
        assert (await names(tab))[:2] == ["db-250", "db-249"]
        sorted_by = "document.querySelector(\"th[data-column='0']\").getAttribute('aria-sort')"
        assert await tab.evaluate(sorted_by) == "descending"
        assert await tab.evaluate("document.querySelectorAll('[aria-sort]').length") == 1

        assert await search(tab, "db-25 NYC3") == ["db-250"]
        assert await tab.evaluate("document.getElementById('found').textContent") == (
            "1 of 251 rows, 250 GiB, 25.00 USD a month"
        )
        assert await search(tab, "nothing like it") == []
        await search(tab, "")
        await click(tab, "[data-show=unprotected]")
        assert (await names(tab))[:3] == ["db-249", "db-248", "db-247"]
        await click(tab, "[data-choice=all]")
        await click(tab, "#last")
        assert len(await names(tab)) == 51
        await tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert len(await names(tab)) == 251

        # It asked nobody for anything, and cannot.
        assert await tab.evaluate("performance.getEntriesByType('resource').length") == 0
        await tab.evaluate(
            "document.addEventListener('securitypolicyviolation', (event) => {"
            "document.documentElement.dataset.stopped = event.effectiveDirective; });"
            "fetch('http://127.0.0.1:9/').catch(() => {}); 0"
        )
        await tab.until("document.documentElement.dataset.stopped === 'connect-src'")
        await tab.evaluate(
            "(() => { const script = document.createElement('script');"
            "script.text = \"document.title = 'owned'\"; document.body.append(script); })()"
        )
        assert await tab.evaluate("document.title") == "Block storage, 2026-11-28"

        colors = set()
        for scheme in ("light", "dark"):
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            await tab.call("Emulation.setEmulatedMedia", features=features)
            colors.add(await tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert len(colors) == 2
        await tab.call(
            "Emulation.setDeviceMetricsOverride",
            width=360, height=800, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        # Only the table scrolls sideways, in its own frame.
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator.in_thread(volumes=12, seed=7, limits="none") as running:
        yield running


@pytest.fixture
def here(
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Here:
    server = Server(simulator.url, simulator.token)
    return Here.at(server, tmp_path, monkeypatch, capsys)


def test_a_report_goes_on_with_itself(here: Here, simulator: Simulator, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    words = ("bulk", "inventory", "--html", str(report))
    first = here(*words, "--earlier", str(report), "-o", "csv")
    assert first.code == 0
    assert len(first.out.splitlines()) == 13
    assert "is not there yet" in first.err
    assert first.err.endswith(f"report: {report}\n")
    old = tmp_path / "old.json"
    old.write_text(here("bulk", "inventory", "-o", "json").out)
    second = here(*words, "--region", "nyc3", "--earlier", str(report), str(old))
    assert second.code == 0
    assert "other volumes than this (region nyc3): (all volumes)" in second.err
    assert report.read_text().count("<circle") == 3
    assert here("bulk", "inventory", "--chart").out.count("USD a month") == 2

    # What cannot be is told before anything is asked.
    simulator.requests.clear()
    for wrong in (
        ("--html", str(tmp_path / "no" / "r.html")),
        ("--html", str(tmp_path)),
        ("--html", str(report), "--earlier", str(tmp_path / "absent.html")),
        ("--earlier", str(report)),
        ("--chart", "-o", "json"),
    ):
        refused = here("bulk", "inventory", *wrong)
        assert refused.code == 2, wrong
        assert refused.err.startswith("do-blockstore: "), wrong
    for options in (("--watch", "--serve"), ("--port", "1"), ("--serve", "-o", "csv")):
        assert here("quota", *options).code == 2, options
    assert not simulator.requests


# The live page.


@asynccontextmanager
async def program(*words: str, env: dict[str, str]) -> AsyncIterator[tuple[Process, list[str]]]:
    """Run the program; gives it and what it prints to stderr, up to the address of its page."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *words, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        lines: list[str] = []
        async with asyncio.timeout(30):
            while not re.search(r"http://127\.0\.0\.1:\d+/\w+/", "".join(lines)):
                line = (await process.stderr.readline()).decode()
                assert line, lines
                lines.append(line)
        yield process, lines
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def address(lines: list[str]) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+/\w{32}/", "".join(lines))
    assert found
    return found[0]


async def ended_by_interrupt(process: Process) -> int:
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(5):
        return await process.wait()


@needs_browser
async def test_live_pages_show_requests_and_refusals_as_they_happen(tmp_path: Path) -> None:
    limits = ("--limits", "6/60,500/3600")
    env = environment(tmp_path)
    simulated = ("simulator", "--port", "0", "--token", CANARY, "--volumes", "3", "--ui")
    async with program(*simulated, *limits, env=env) as (simulator, printed):
        assert simulator.stdout is not None
        url = (await simulator.stdout.readline()).decode().strip().rpartition("=")[2]
        env = {**env, "DIGITALOCEAN_API_URL": url, "DIGITALOCEAN_TOKEN": CANARY}
        env["DO_BLOCKSTORE_BUDGET"] = "machine"
        serving = ("quota", "--serve", "--interval", "1", *limits)
        async with (
            open_tab(tmp_path / "one", address(printed)) as simulators,
            program(*serving, env=env) as (quota, told),
            aiohttp.ClientSession(headers={"authorization": f"Bearer {CANARY}"}) as session,
        ):
            budgets = await simulators.another(address(told))
            live = "document.getElementById('link').textContent === 'live'"
            for tab in (simulators, budgets):
                await tab.until(live)
            # What is asked at the interval is soon refused: others use the budget up.
            statuses = []
            for number in range(7):
                async with session.get(f"{url}/v2/volumes?page={number + 1}") as response:
                    statuses.append(response.status)
            assert statuses[-1] == 429
            log = "document.getElementById('log').textContent"
            await simulators.until(f"/429GET.v2.volumes.page=7.*burst/.test({log})")
            await simulators.until(f"/200GET.v2.volumes.page=1/.test({log})")
            await simulators.until(
                "document.getElementById('windows').textContent.includes('0 left of 6')"
            )
            await budgets.until(f"/429GET.v2.volumes/.test({log})")
            await budgets.until(f"{log}.includes('nothing is sent for')")
            await budgets.until(
                "document.getElementById('why-interactive').textContent.includes('asked to wait')"
            )
            await budgets.until("+document.getElementById('count-refused').textContent >= 1")
            for tab in (simulators, budgets):
                assert CANARY not in await tab.evaluate("document.documentElement.outerHTML")
            # Open streams do not hold it up.
            assert await ended_by_interrupt(quota) == 0
            await budgets.until("document.getElementById('link').textContent.includes('ended')")
            assert await ended_by_interrupt(simulator) == 0
    assert CANARY not in "".join(printed + told)


async def test_the_live_page_is_for_this_machine_and_for_who_has_its_address() -> None:
    source = SimulatorSource(RunsUnderWay())
    async with serve_page(source) as url, aiohttp.ClientSession() as session:

        async def status(path: str = url, method: str = "GET", **headers: str) -> int:
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            async with session.request(method, path, headers=headers) as response:
                assert "access-control-allow-origin" not in response.headers
                return response.status

        root = url[: url.index("/", 8)]
        assert await status() == 200
        assert await status(host="localhost:" + root.rpartition(":")[2]) == 200
        assert await status(host="evil.example") == 403
        assert await status(host="127.0.0.1:1") == 403
        assert await status(origin="http://evil.example") == 403
        assert await status(method="POST") == 405
        for path in ("/", "/events", "/0123456789abcdef0123456789abcdef/"):
            assert await status(root + path) == 404
        assert await status(f"{url}events", sec_fetch_site="cross-site") == 404


# A person's path without an account.


def readme_command() -> list[str]:
    """The command of the README that needs nothing but an installation."""
    found = re.search(r"/do-blockstore (--simulate .*)$", (ROOT / "README.md").read_text(), re.M)
    assert found
    return found[1].split()


@needs_browser
@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
async def test_a_persons_path_without_an_account(tmp_path: Path) -> None:
    env = environment(tmp_path)
    report = tmp_path / "report.html"
    # It takes some seconds; meanwhile its reader tries what else there is.
    first = Terminal(*readme_command(), env=env)
    listing = Terminal("--simulate", "volumes", "list", "--region", "nyc3", env=env, columns=120)
    listed = without_styles(listing.rest())
    assert listing.code == 0, listed
    assert "db-01" in listed
    one = without_styles(
        Terminal("--simulate", "volumes", "get", "db-01", "--region", "nyc3", env=env).rest()
    )
    assert re.search(r"name +db-01\b", one)
    volume_id = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", one)
    assert volume_id, one
    inventory = Terminal(
        "--simulate", "bulk", "inventory", "--html", str(report), env=env, columns=120
    )
    shown = without_styles(inventory.rest())
    assert inventory.code == 0, shown
    assert re.search(r"nyc3 .*━", shown)
    assert "Snapshots by age, GiB" in shown
    assert "report: " in shown
    async with open_tab(tmp_path / "profile", report.as_uri()) as tab:
        await tab.until("document.documentElement.dataset.ready")
        assert await search(tab, "db-01 nyc3") == ["db-01"]
        text = await tab.evaluate("document.querySelector('#volumes .id').textContent")
        assert text == volume_id[0]
    done = without_styles(first.rest())
    assert first.code == 0, done
    assert "120 snapshots taken, 60 snapshots deleted" in done
