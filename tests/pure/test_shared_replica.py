"""The replica of a shared budget: the promises R1, R3, R4, R5 and R7 over random logs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from do_blockstore_async._ratelimit.shared.facts import (
    FORMAT,
    Absence,
    Ask,
    Backlog,
    Bye,
    Checkpoint,
    Done,
    Fact,
    Grant,
    Hello,
    Lost,
    Refused,
    Reserve,
    SharedSettings,
    Unused,
    decode,
    encode,
    known_headers,
)
from do_blockstore_async._ratelimit.shared.peer import DEAD_S
from do_blockstore_async._ratelimit.shared.replica import SETTLE_S, Replica
from do_blockstore_async.config import Config
from do_blockstore_async.errors import ConfigError

SETTINGS = SharedSettings.of(Config(windows=((25, 6.0), (500, 360.0)), burst=10), grace_s=60.0)
WRITERS = ("a", "b", "c", "d")
KINDS = (
    "hello",
    *["grant"] * 6,
    *["done"] * 4,
    "lost",
    "unused",
    *["ask"] * 3,
    "refused",
    "reserve",
    "bye",
    "absence",
)

Dated = tuple[float, Fact]


STEP = st.tuples(
    st.sampled_from(WRITERS),
    st.sampled_from(KINDS),
    st.sampled_from((*[0.0, 0.01, 0.3, 0.3] * 3, 2.0, 6.5, DEAD_S, 70.0)),
    st.integers(0, 2**20 - 1),
)
STEPS = st.lists(STEP, min_size=1, max_size=10) | st.lists(STEP, min_size=30, max_size=80)


def log_of(steps: list[tuple[str, str, float, int]]) -> list[Dated]:
    """A log as sessions could have written it, with facts of the dead and repetitions."""
    log: list[Dated] = [(100.0, Hello(name, FORMAT, name, SETTINGS)) for name in WRITERS[:2]]
    numbers = dict.fromkeys(WRITERS, 0)
    at_s = 100.0
    for writer, kind, after_s, bits in steps:
        at_s += after_s
        log.append((at_s, _fact(writer, kind, numbers, at_s, bits)))
        if bits % 10 == 0:
            log.append(log[-1])
    return log


def _fact(writer: str, kind: str, numbers: dict[str, int], at_s: float, bits: int) -> Fact:
    bits, interactive = divmod(bits, 4)
    bits, age_s = divmod(bits, 4)
    bits, bulk = divmod(bits, 4)
    bits, back = divmod(bits, 5)
    waiting = Backlog(interactive, at_s - age_s, 20 * bulk, 1.0 + bits % 2 * 2)
    number = max(1, numbers[writer] - back)
    if kind == "grant":
        numbers[writer] += 1
        passed = (WRITERS[bits % 4],) if bits % 4 == back else ()
        return Grant(writer, numbers[writer], bits % 3 > 0, waiting, passed)
    if kind == "done":
        headers = {"ratelimit-limit": "500", "ratelimit-remaining": str(bits % 500)}
        return Done(writer, number, 429 if bits % 7 == 0 else 200, headers)
    facts: dict[str, Fact] = {
        "hello": Hello(writer, FORMAT, writer, SETTINGS),
        "lost": Lost(writer, number),
        "unused": Unused(writer, number),
        "ask": Ask(writer, waiting),
        "refused": Refused(writer, "burst", 2.0),
        "reserve": Reserve(writer, at_s + 5.0),
        "bye": Bye(writer),
        "absence": Absence(writer, 5, 2),
    }
    return facts[kind]


logs = STEPS.map(log_of)


def replayed(log: Iterable[Dated], into: Replica | None = None) -> Iterator[Replica]:
    """The replica before the first fact, and after each."""
    replica = into or Replica(SETTINGS)
    yield replica
    for at_s, fact in log:
        replica.apply(at_s, fact)
        yield replica


def after(log: Iterable[Dated], into: Replica | None = None) -> Replica:
    *_, replica = replayed(log, into)
    return replica


def state(replica: Replica, now: float) -> Any:
    """What the replica says, and what it holds; not how often it was looked at."""
    replica.advance(now)
    said = [
        (replica.admission(at, is_bulk).at, replica.before(name, is_bulk, Backlog(1, at, 1)))
        for at in (now, now + 3.0)
        for is_bulk in (False, True)
        for name in WRITERS
    ]
    held: dict[str, Any] = msgspec.msgpack.decode(replica.checkpoint("").state)
    del held["ledger"]["version"]
    return said, held


@given(logs, st.integers(0, 2**32), st.sampled_from((0.0, 5.0, 20.0, 200.0)))
def test_every_reader_computes_the_same_whenever_it_looks(  # R1, R3
    log: list[Dated], seed: int, later_s: float
) -> None:
    looks = random.Random(seed)
    seldom, often = after(log), Replica(SETTINGS)
    for at_s, fact in log:
        if often.at_s > 0 and looks.random() < 0.5:
            between = often.at_s + (at_s - often.at_s) * looks.random()
            often.advance(min(between, at_s))
            often.admission(often.at_s, False)
        often.apply(at_s, fact)
    end_s = log[-1][0] + later_s
    assert state(seldom, end_s) == state(often, end_s)


@given(logs, st.floats(0, 1))
def test_whoever_begins_at_a_checkpoint_computes_the_same(  # R1
    log: list[Dated], share: float
) -> None:
    cut = max(1, round(share * len(log)))
    oldest = after(log[:cut])
    at_s = log[cut - 1][0]
    checkpoint = decode(encode(oldest.checkpoint("a")))
    assert isinstance(checkpoint, Checkpoint)
    newcomer = after([(at_s, checkpoint)])
    # The old one reads its own checkpoint too.
    after([(at_s, checkpoint)], oldest)
    end_s = log[-1][0] + 1.0
    without, *others = (
        state(replica, end_s)
        for replica in (after(log), after(log[cut:], oldest), after(log[cut:], newcomer))
    )
    assert others == [without, without]


@given(logs)
def test_a_repeated_fact_changes_nothing(log: list[Dated]) -> None:  # R5
    once, twice = after(log), Replica(SETTINGS)
    for at_s, fact in log:
        twice.apply(at_s, fact)
        if isinstance(fact, Grant | Done | Lost | Unused) and fact.writer in twice.peers:
            twice.apply(at_s, fact)
    end_s = log[-1][0]
    assert state(once, end_s) == state(twice, end_s)


@given(logs)
def test_the_shares_never_add_up_to_more_than_half(log: list[Dated]) -> None:  # R7
    for replica in replayed(log):
        living = sum(peer.kept_share for peer in replica.peers.values())
        away = sum(kept.share for kept in replica.away.values())
        assert living + away <= 0.5 + 1e-9


@given(logs)
def test_what_is_in_flight_is_held_and_the_dead_hold_nothing_open(log: list[Dated]) -> None:
    for replica in replayed(log):
        in_flight = sum(len(peer.open) for peer in replica.peers.values())
        assert replica.ledger.in_flight == in_flight


@given(logs)
def test_no_bulk_request_goes_before_an_interactive_one(log: list[Dated]) -> None:  # R4
    replica = after(log)
    waiting = [
        name
        for name, peer in replica.peers.items()
        if peer.waiting.interactive and not peer.is_passed
    ]
    for name in replica.peers:
        first = replica.before(name, True, Backlog(bulk=1))
        others = [other for other in waiting if other != name]
        assert not others or list(first) == others


def test_bulk_takes_turns_by_weight() -> None:  # R4
    replica = after((0.0, Hello(name, FORMAT, name, SETTINGS)) for name in ("a", "b"))
    waiting = {"a": Backlog(bulk=500, weight=3.0), "b": Backlog(bulk=500, weight=1.0)}
    for name, backlog in waiting.items():
        replica.apply(0.0, Ask(name, backlog))
    granted = dict.fromkeys(waiting, 0)
    for n in range(400):
        # The one that is always quicker takes what it is allowed to.
        name = "b" if not replica.before("b", True, waiting["b"]) else "a"
        assert not replica.before(name, True, waiting[name])
        granted[name] += 1
        replica.apply(n / 100, Grant(name, granted[name], True, waiting[name]))
    assert granted["a"] / granted["b"] == pytest.approx(3, rel=0.1)


def test_interactive_requests_go_by_age_over_all_writers() -> None:  # R4
    replica = after((0.0, Hello(name, FORMAT, name, SETTINGS)) for name in ("a", "b"))
    replica.apply(5.0, Ask("a", Backlog(interactive=2, oldest_at_s=4.0)))
    assert replica.before("b", False, Backlog(1, 5.0)) == ("a",)
    assert replica.before("b", False, Backlog(1, 3.0)) == ()
    # Passed over: it did not take its turn; heard again: it has one.
    replica.apply(5.5, Grant("b", 1, False, Backlog(), ("a",)))
    assert replica.before("b", False, Backlog(1, 5.0)) == ()
    replica.apply(5.6, Ask("a", Backlog(interactive=2, oldest_at_s=4.0)))
    assert replica.before("b", False, Backlog(1, 5.0)) == ("a",)


def test_whoever_fell_silent_has_lost_what_it_had_in_flight() -> None:  # R3
    replica = after([(0.0, Hello("a", FORMAT, "a", SETTINGS)), (0.0, Ask("a", Backlog()))])
    replica.apply(1.0, Grant("a", 1, False, Backlog()))
    late = replica.apply(1.0 + DEAD_S + 3.0, Hello("b", FORMAT, "b", SETTINGS))
    assert list(late) == ["a"]
    assert (replica.ledger.in_flight, replica.ledger.lost) == (0, 1)
    # A response that it hands in later frees nothing: the request counts until it cannot arrive.
    replica.apply(20.0, Done("a", 1, 200, {}))
    assert replica.ledger.lost == 1


@pytest.mark.parametrize("grace_s", [0.0, 60.0])
def test_a_log_that_nobody_left_properly_is_begun_with_a_pause(grace_s: float) -> None:  # R8
    settings = msgspec.structs.replace(SETTINGS, grace_s=grace_s)
    replica = Replica(settings)
    replica.apply(10.0, Hello("a", FORMAT, "a", settings))
    waits_s = replica.admission(10.0, False).at - 10.0
    assert waits_s == (pytest.approx(SETTLE_S) if grace_s else -float("inf")) or waits_s <= 0
    replica.apply(20.0, Bye("a"))
    replica.apply(21.0, Hello("b", FORMAT, "b", settings))
    assert replica.admission(21.0, False).at <= 21.0


def test_settings_of_a_token_that_nobody_uses_any_more_are_replaced() -> None:
    other = msgspec.structs.replace(SETTINGS, windows=((50, 6.0), (500, 360.0)))
    replica = after([(0.0, Hello("a", FORMAT, "a", SETTINGS))])
    replica.apply(2.0, Grant("a", 1, False, Backlog()))
    replica.apply(2.1, Hello("b", FORMAT, "b", other))
    assert "b" not in replica.peers
    assert SETTINGS.differences(other) == (
        "windows ((25, 6.0), (500, 360.0)) here and ((50, 6.0), (500, 360.0)) there"
    )
    replica.apply(3.0, Bye("a"))
    replica.apply(3.1, Hello("b", FORMAT, "b", other))
    assert replica.settings == other
    # What the former one had in flight still counts.
    assert replica.ledger.windows[0].closed(3.1) == 1


@given(logs)
def test_facts_survive_the_way_through_the_log(log: list[Dated]) -> None:
    for _, fact in log:
        assert decode(encode(fact)) == fact


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"{}",
        msgspec.msgpack.encode(["later", "a", 1]),
        encode(Hello("a", FORMAT + 1, "a", SETTINGS)),
        encode(Checkpoint("a", FORMAT + 1, False, msgspec.Raw(b"\x80"))),
    ],
)
def test_what_another_version_wrote_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ConfigError, match="use one version for all processes of a token"):
        decode(data)


def test_a_state_of_another_version_is_refused_in_words() -> None:
    known = msgspec.msgpack.decode(after([]).checkpoint("a").state)
    known["ledger"]["invented"] = 1
    raw = msgspec.Raw(msgspec.msgpack.encode(known))
    with pytest.raises(ConfigError, match="use one version"):
        Replica(SETTINGS).apply(0.0, Checkpoint("a", FORMAT, False, raw))


def test_only_headers_about_the_budget_are_shared() -> None:
    headers = {"ratelimit-limit": "5000", "set-cookie": "session=1", "date": "today"}
    assert known_headers(headers) == {"ratelimit-limit": "5000", "date": "today"}
