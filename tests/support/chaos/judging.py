"""Compares what callers were told with what happened; `__main__.py` says what the columns mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from .books import Books, Intent, Outcome, told_id, told_unknown

__all__ = ["COLUMNS", "findings", "judge"]

COLUMNS = (
    "took effect twice",
    "lost",
    "wrong deletes",
    "unexplained",
    "leaked",
    "over budget",
)
_MAKES = {"create", "snapshot", "attach", "detach", "resize"}
_DELETES = {"delete", "delete by name", "delete snapshot"}


def findings(outcome: Outcome) -> Iterator[tuple[str, Intent]]:
    """Each thing that is wrong with a run, with the operation it is about."""
    for intent in outcome.intents:
        if intent.kind in _MAKES:
            yield from _of_maker(intent, outcome)
        elif intent.kind in _DELETES:
            yield from _of_deleter(intent, outcome)


def _of_maker(intent: Intent, outcome: Outcome) -> Iterator[tuple[str, Intent]]:
    books = outcome.books
    made = books.made.get(intent.number, [])
    if any(books.held(first, books.made_at_s[second]) for first, second in pairwise(made)):
        yield "took effect twice", intent
    given = told_id(intent.told)
    if given is not None and given not in books.made_at_s:
        yield "lost", intent
    elif given is not None:
        if given not in made:
            yield "unexplained", intent
    elif not told_unknown(intent) and any(books.held(thing, intent.told_at_s) for thing in made):
        yield "unexplained", intent


def _of_deleter(intent: Intent, outcome: Outcome) -> Iterator[tuple[str, Intent]]:
    books = outcome.books
    deleted = books.deleted.get(intent.number, [])
    if len(deleted) > 1:
        yield "took effect twice", intent
    if intent.kind == "delete by name":
        if any(_hit_anew(intent, books, gone) for gone in deleted):
            yield "wrong deletes", intent
    elif any(gone != intent.target for gone in deleted):
        yield "wrong deletes", intent
    elif intent.told is None and not intent.cancelled and intent.target not in books.deleted_at_s:
        yield "lost", intent
    refused = type(intent.told).__name__ in {"ConflictError", "PermissionDeniedError"}
    if deleted and refused:
        yield "unexplained", intent


def _hit_anew(intent: Intent, books: Books, gone: str) -> bool:
    """Whether a repetition deleted what was made after the first attempt had ended."""
    ended_s, repeated_s = intent.first_ended_s, intent.repeated_s
    if ended_s is None or repeated_s is None:
        return False
    return books.made_at_s[gone] > ended_s and books.deleted_at_s[gone] > repeated_s


def judge(outcome: Outcome) -> Counter[str]:
    """The columns of the table for one run."""
    counts = Counter(dict.fromkeys(COLUMNS, 0))
    counts.update(column for column, _ in findings(outcome))
    counts["leaked"] += outcome.leaked
    counts["over budget"] += outcome.refused["burst"] + outcome.refused["hourly"]
    counts["operations"] = len(outcome.intents)
    counts["requests"] = outcome.requests
    counts["faults"] = outcome.faults
    counts["outcome unknown"] = sum(map(told_unknown, outcome.intents))
    return counts
