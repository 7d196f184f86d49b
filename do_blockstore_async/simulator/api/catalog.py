"""What is only read: regions and Droplets. Pure: no clock, no I/O."""

from __future__ import annotations

from ..state.account import Account
from ..state.regions import REGION_JSON
from .pagination import page_of_list
from .request import Call

__all__ = ["list_droplets", "list_regions"]


def list_regions(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/regions."""
    return page_of_list(account, call, "regions", list(REGION_JSON.values()), lambda text: text)


def list_droplets(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/droplets: a small part of each."""
    droplets = list(account.state.droplets.values())
    return page_of_list(account, call, "droplets", droplets, lambda droplet: droplet.json())
