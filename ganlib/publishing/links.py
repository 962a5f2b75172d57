"""A role for the book's prose: {claim}`minimax.spiral` links to the cell that checks the claim.

A claim that nobody recorded is a warning, so that the strict build fails. What the claims say and
how they fared is left to the ledger.
"""

from functools import cache
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from ganlib.claims import anchor, load


class Claim(SphinxRole):
    """The claim's id as a link to the place of its chapter where it is checked."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        words = nodes.literal(text=self.text)
        chapter = _chapters().get(self.text)
        if chapter is None:
            logging.getLogger(__name__).warning(
                "claim: %r is in no record of data/results, expected chapter.name",
                self.text,
                location=self.get_location(),
            )
            return [words], []
        page = self.env.app.builder.get_relative_uri(self.env.docname, f"chapters/{chapter}")
        return [nodes.reference("", "", words, refuri=f"{page}#{anchor(self.text)}")], []


@cache
def _chapters() -> dict[str, str]:
    """The chapter of every claim that is recorded."""
    return {record["id"]: record["chapter"] for record in load("claims")}


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls for an extension."""
    app.add_role("claim", Claim())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
