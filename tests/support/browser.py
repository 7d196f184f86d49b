"""A headless Chromium, spoken to over its DevTools protocol."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["Tab", "chromium", "open_tab"]


def chromium() -> str | None:
    """Where it is installed, if it is."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


class Tab:
    """One page."""

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, numbers: Iterator[int] | None = None
    ) -> None:
        self._socket = socket
        self._numbers = numbers or itertools.count(1)
        self._session: dict[str, str] = {}

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        await self._socket.send_json(
            {"id": number, "method": method, "params": params, **self._session}
        )
        while (told := await self._socket.receive_json()).get("id") != number:
            pass
        assert "error" not in told, told
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> None:
        """Open a page."""
        target = await self.call("Target.createTarget", url=url)
        made = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": made["sessionId"]}

    async def another(self, url: str) -> Tab:
        """Open a page beside this one, in the same browser."""
        tab = Tab(self._socket, self._numbers)
        await tab.open(url)
        return tab

    async def evaluate(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    async def until(self, script: str, patience_s: float = 20.0) -> None:
        """Wait until an expression is true in the page."""
        async with asyncio.timeout(patience_s):
            while not await self._is_true(script):  # noqa: ASYNC110 -- the page signals nothing
                await asyncio.sleep(0.02)

    async def _is_true(self, script: str) -> bool:
        try:
            return bool(await self.evaluate(script))
        except AssertionError as error:
            # Between two pages there is none.
            if "Cannot find default execution context" not in str(error):
                raise
            return False


@asynccontextmanager
async def open_tab(profile: Path, url: str) -> AsyncIterator[Tab]:
    """Open `url` in a browser of its own.

    Args:
        profile: an empty directory.
        url: the page.
    """
    program = chromium()
    assert program is not None
    browser = await asyncio.create_subprocess_exec(
        *(program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *(
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-default-apps",
            "--mute-audio",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
        ),
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert browser.stderr is not None
        async with asyncio.timeout(30):
            found = None
            while found is None:
                found = re.search(rb"(ws://\S+)", line := await browser.stderr.readline())
                assert line, "it ended at once"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(found[1].decode()) as socket,
        ):
            tab = Tab(socket)
            await tab.open(url)
            yield tab
    finally:
        with suppress(ProcessLookupError):
            os.killpg(browser.pid, signal.SIGKILL)
        await browser.communicate()
