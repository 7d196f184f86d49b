"""What the user reads when the parser refuses the arguments."""

from __future__ import annotations

from difflib import get_close_matches

from cyclopts import CycloptsError
from cyclopts.exceptions import MissingArgumentError, UnusedCliTokensError

__all__ = ["usage_text"]


def usage_text(error: CycloptsError) -> str:
    """Describe what is wrong with the arguments, in one line."""
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.argument.name
        if error.keyword is not None:
            return f"{error.keyword} needs a value"
        for typed in error.unused_tokens or ():
            # A typing error leaves two things behind: what is missing, and what is unknown.
            if get_close_matches(typed, [name], cutoff=0.6):
                return f"unknown option {typed}; did you mean {name}?"
        return f"missing {name}"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"unexpected argument: {error.unused_tokens[0]}"
    return " ".join(str(error).split())
