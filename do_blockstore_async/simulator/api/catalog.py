"""What is only read: the account, regions and Droplets. Pure: no clock, no I/O."""

from __future__ import annotations

from .._errors import api_error
from .._messages import encode, uuid_text
from ..state.account import Account
from ..state.regions import REGION_JSON
from .pagination import page_of_list
from .request import Call

__all__ = ["get_account", "get_droplet", "list_droplets", "list_regions"]


def get_account(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/account. Evidence for `volume_limit`, and that 0 is none: csi-digitalocean#31."""
    team = {"uuid": uuid_text(account.options.seed + (1 << 100)), "name": "Simulated"}
    return 200, encode(
        {
            "account": {
                "droplet_limit": 25,
                "floating_ip_limit": 3,
                "reserved_ip_limit": 3,
                "volume_limit": account.max_volumes or 0,
                "email": "simulator@example.com",
                "name": "Simulator",
                "uuid": team["uuid"],
                "email_verified": True,
                "status": "active",
                "status_message": "",
                "team": team,
            }
        }
    )


def list_regions(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/regions."""
    return page_of_list(account, call, "regions", list(REGION_JSON.values()), lambda text: text)


def list_droplets(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/droplets, all or by name or tag; `type=gpus` finds none."""
    name, tag = call.query.get("name"), call.query.get("tag_name")
    droplets = list(account.state.droplets.values())
    if name:
        droplets = [droplet for droplet in droplets if droplet.name == name]
    if tag:
        spelled = account.state.known_tag(tag)
        droplets = [droplet for droplet in droplets if spelled in droplet.tags]
    if call.query.get("type") == "gpus":
        droplets = []
    return page_of_list(account, call, "droplets", droplets, lambda droplet: droplet.json())


def get_droplet(account: Account, call: Call) -> tuple[int, bytes]:
    """GET /v2/droplets/{id}: without it the vendor's CSI driver takes a Droplet for deleted."""
    droplet = account.state.droplets.get(int(call.values[0]))
    if droplet is None:
        raise api_error("not_found")
    return 200, b'{"droplet":%s}' % droplet.json()
