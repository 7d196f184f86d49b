"""Each foreign client works against the simulator, as the table in the documentation says.

`.ci/run` installs all of them; elsewhere those that are missing are skipped. With
DO_BLOCKSTORE_CLIENTS=all a missing one fails.
"""

from __future__ import annotations

import os

import pytest

from .foreign import FOREIGN_CLIENTS, ForeignClient, judge
from .operations import OPERATIONS
from .table import PAGE, read_table

ALL = os.environ.get("DO_BLOCKSTORE_CLIENTS") == "all"


@pytest.mark.parametrize("client", FOREIGN_CLIENTS, ids=lambda client: client.name)
async def test_a_foreign_client_works(client: ForeignClient) -> None:
    if client.missing is not None:
        if ALL:
            pytest.fail(client.missing)
        pytest.skip(client.missing)
    worked = await judge(client)
    assert worked == read_table()[client.name], f"python -m tests.clients writes {PAGE.name} anew"


def test_the_table_is_of_these_clients_and_operations() -> None:
    table = read_table()
    assert list(table) == [client.name for client in FOREIGN_CLIENTS]
    shown = set().union(*table.values())
    assert shown == set(OPERATIONS), "an operation that no client uses, or none that is known"
