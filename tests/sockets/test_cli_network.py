"""A proxy that tunnels and an authority of one's own: in the command line and in the library."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from do_blockstore_async import BlockStore, Config, ConfigError, TransportError
from tests.support.cli import CANARY, PROGRAM, Done, environment
from tests.support.scripted_server import REGION, quick
from tests.support.tls_proxy import ConnectProxy, serving_tls

PASSWORD = "proxy-passw0rd"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[tuple[str, Path, list[web.Request]]]:
    """An https URL that only a proxy can reach, its authority, and the requests it got."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"regions": [REGION], "links": {}, "meta": {"total": 1}})

    app = web.Application()
    app.router.add_get("/v2/regions", answer)
    async with serving_tls(app, tmp_path) as (url, ca_file):
        yield url, ca_file, seen


async def run(*words: str, env: dict[str, str]) -> Done:
    """The program, while servers of this event loop serve it."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *words, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    done = Done(process.returncode or 0, out.decode(), err.decode())
    for secret in (PASSWORD, CANARY):
        assert secret not in done.out + done.err
    return done


async def test_the_command_line_goes_through_the_proxy_and_trusts_the_named_authority(
    api: tuple[str, Path, list[web.Request]], tmp_path: Path
) -> None:
    url, ca_file, seen = api
    (tmp_path / ".netrc").write_text("default login mallory password from-netrc\n")
    async with ConnectProxy(f"me:{PASSWORD}") as proxy:
        through = proxy.url.replace("//", f"//me:{PASSWORD}@")
        env = environment(
            tmp_path, DIGITALOCEAN_TOKEN=CANARY, DIGITALOCEAN_API_URL=url, HTTPS_PROXY=through,
            NETRC=str(tmp_path / ".netrc"),
        )  # fmt: skip
        done = await run("regions", "list", "--ca-file", str(ca_file), env=env)
        assert (done.code, done.err) == (0, "")
        assert "nyc1" in done.out
        assert seen[0].headers["Authorization"] == f"Bearer {CANARY}"
        # The token goes through the tunnel, not to the proxy.
        assert [head.split()[0] for head in proxy.requests] == ["CONNECT"]
        assert CANARY not in proxy.requests[0]

        by_variable = {**env, "SSL_CERT_FILE": str(ca_file)}
        assert (await run("regions", "list", "--verbose", env=by_variable)).code == 0

        config = tmp_path / "config.toml"
        config.write_text('[defaults]\nca_file = "authority.pem"\n')
        configured = {**env, "DO_BLOCKSTORE_CONFIG": str(config)}
        assert (await run("regions", "list", env=configured)).code == 0

        unknown = await run("regions", "list", "--timeout", "2", env=env)
        assert unknown.code == 1
        assert "certificate is not valid (own authorities: --ca-file)" in unknown.err
        assert len(seen) == 3


async def test_proxies_and_authorities_that_cannot_be_used_are_named(
    api: tuple[str, Path, list[web.Request]], tmp_path: Path
) -> None:
    url, ca_file, seen = api
    async with ConnectProxy(f"me:{PASSWORD}") as proxy:
        wrong = proxy.url.replace("//", f"//mallory:{PASSWORD}@")
        env = environment(
            tmp_path, DIGITALOCEAN_TOKEN=CANARY, DIGITALOCEAN_API_URL=url, HTTPS_PROXY=wrong
        )
        words = ("regions", "list", "--ca-file", str(ca_file), "--timeout", "2")
        refused = await run(*words, env=env)
        assert refused.code == 1
        assert "the proxy refused the connection (407)" in refused.err

        absent = await run("regions", "list", "--ca-file", str(tmp_path / "absent.pem"), env=env)
        assert absent.code == 2
        assert "absent.pem: No such file" in absent.err
        # NO_PROXY leaves the proxy out, and without it this name leads nowhere.
        apart = {**env, "NO_PROXY": "api.example"}
        before = len(proxy.requests)
        assert (await run(*words, env=apart)).code == 1
        assert len(proxy.requests) == before
        assert not seen


async def test_a_client_takes_proxy_and_authority_from_its_settings(
    api: tuple[str, Path, list[web.Request]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, ca_file, seen = api
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with ConnectProxy(f"me:{PASSWORD}") as proxy:
        through = proxy.url.replace("//", f"//me:{PASSWORD}@")
        config = quick(proxy=through, ca_file=ca_file)
        assert config.ca_file == os.fspath(ca_file)
        assert PASSWORD not in repr(config)
        async with BlockStore(CANARY, base_url=url, config=config) as store:
            assert [region.slug async for region in store.regions.list()] == ["nyc1"]

        monkeypatch.setenv("ALL_PROXY", through.removeprefix("http://"))
        config = quick(trust_env=True, ca_file=ca_file)
        async with BlockStore(CANARY, base_url=url, config=config) as store:
            assert [region.slug async for region in store.regions.list()] == ["nyc1"]

        config = quick(proxy=through, max_attempts=1)
        async with BlockStore(CANARY, base_url=url, config=config) as store:
            with pytest.raises(TransportError, match="certificate is not valid") as caught:
                await store.regions.list()
            assert PASSWORD not in repr(caught.value)
    assert len(seen) == 2
    (tmp_path / "not.pem").write_text("nothing")
    monkeypatch.setenv("ALL_PROXY", f"socks5://me:{PASSWORD}@127.0.0.1:9")
    for config, says in [
        (Config(ca_file=tmp_path / "absent"), r"cannot use the CA file .*absent: No such file"),
        (Config(ca_file=tmp_path / "not.pem"), "it holds no certificates in PEM form"),
        (Config(trust_env=True), "names a socks5 proxy: only HTTP proxies can be used"),
    ]:
        with pytest.raises(ConfigError, match=says) as refused:
            await BlockStore(CANARY, base_url=url, config=config).__aenter__()
        assert PASSWORD not in str(refused.value)
    with pytest.raises(ConfigError, match="ca_file must be a path"):
        Config(ca_file=3)  # type: ignore[arg-type]
