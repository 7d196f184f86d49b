"""The table of clients and operations: made by the run, shown in the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import metadata

from .foreign import FOREIGN_CLIENTS, NODE, ROOT, ForeignClient
from .operations import OPERATIONS

PAGE = ROOT / "docs" / "reference" / "clients.md"

_TAIL = """
| client | language | version |
| --- | --- | --- |
"""


def version_of(client: ForeignClient) -> str:
    """The version that is installed."""
    if client.language == "Python":
        return metadata.version(client.package)
    if client.language == "Node":
        file = NODE / "node_modules" / client.package / "package.json"
        return str(json.loads(file.read_text())["version"])
    return "1.37.0, of Debian 12"


def write_page(worked: Mapping[str, set[str]]) -> None:
    """Write the page's tables from what each client was seen to do; the words above are kept."""
    names = [client.name for client in FOREIGN_CLIENTS]
    lines = [
        f"| | {' | '.join(names)} |",
        f"| --- |{' :-: |' * len(names)}",
        *(
            f"| {operation} | {' | '.join('✓' if operation in worked[n] else '' for n in names)} |"
            for operation in OPERATIONS
        ),
    ]
    table = "\n".join(lines)
    versions = "".join(
        f"| {client.name} | {client.language} | {version_of(client)} |\n"
        for client in FOREIGN_CLIENTS
    )
    head = PAGE.read_text().partition("\n| | ")[0]
    PAGE.write_text(f"{head}\n{table}\n{_TAIL}{versions}")


def read_table() -> dict[str, set[str]]:
    """What the page shows: the operations of each client, by its name."""
    rows = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", PAGE.read_text().partition(_TAIL)[0], re.MULTILINE)
    ]
    names, marks = rows[0][1:], rows[2:]
    return {name: {row[0] for row in marks if row[at + 1]} for at, name in enumerate(names)}
