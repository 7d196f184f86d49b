"""Make every public name that a page writes as code a link to its place in the reference."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PACKAGE = "do_blockstore_async."
# How pages name the parts of a client.
PARTS = {
    "store.volumes.": "resources.volumes.VolumeManager.",
    "store.snapshots.": "resources.snapshots.SnapshotManager.",
    "store.actions.": "resources.actions.ActionManager.",
    "store.regions.": "resources.regions.RegionManager.",
    "store.bulk.": "bulk.Bulk.",
    "store.": "BlockStore.",
}


class LinkNames(SphinxPostTransform):
    """Link `BlockStore`, `bulk.Plan`, `store.volumes.create(...)` and the like."""

    default_priority = 5
    formats = ("html",)

    def run(self, **_: object) -> None:
        """Look at each piece of code in running text."""
        known = self.env.domains["py"].data["objects"]
        for literal in list(self.document.findall(nodes.literal)):
            name = re.sub(r"\(.*\)$", "", literal.astext())
            within = (nodes.reference, nodes.title, nodes.Inline)
            if not re.fullmatch(r"[A-Za-z_][\w.]+", name) or isinstance(literal.parent, within):
                continue
            full = self._full(name, known)
            if full is None:
                continue
            found = known[full]
            literal.replace_self(
                make_refnode(
                    self.app.builder,
                    self.env.docname,
                    found.docname,
                    found.node_id,
                    literal.deepcopy(),
                )
            )

    @staticmethod
    def _full(name: str, known: dict[str, object]) -> str | None:
        for said, meant in PARTS.items():
            if name.startswith(said):
                name = meant + name.removeprefix(said)
                break
        else:
            if not name[0].isupper() and "." not in name:
                return None
        places = ("", PACKAGE, f"{PACKAGE}bulk.", f"{PACKAGE}simulator.", f"{PACKAGE}events.")
        found = next((place + name for place in places if place + name in known), None)
        if found is None and name[0].isupper():
            same = [full for full in known if full.endswith(f".{name}")]
            found = same[0] if len(same) == 1 else None
        return found


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_post_transform(LinkNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
