"""What the drivers share: where the simulator is, and how they say what they have done.

A driver uses one client as its own documentation shows, checks what the client returns, and prints
a line for each operation of the table once it has worked. Anything else ends it with a traceback.
It deletes what it creates.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

URL = os.environ["SIMULATOR_URL"]
TOKEN = os.environ["SIMULATOR_TOKEN"]
DROPLET = int(os.environ["SIMULATOR_DROPLET"])
"""A Droplet in nyc3."""


def done(*operations: str) -> None:
    """Say that operations of the table have worked."""
    for operation in operations:
        sys.stdout.write(f"done: {operation}\n")
    sys.stdout.flush()


@contextmanager
def raises(kind: type[Exception], text: str) -> Iterator[None]:
    """Expect an exception of the client that shows this text."""
    try:
        yield
    except kind as error:
        if text not in str(error):
            raise
    else:
        raise AssertionError(f"{kind.__name__} was expected: {text}")
