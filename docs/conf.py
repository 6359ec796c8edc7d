"""How Sphinx makes the site of the guides: `make site`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "Tidemark"
author = "The Tidemark authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# What packages import stands in the order of the code, each attribute beside the others of its class.
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
exclude_patterns = ["schemas", "conf.py"]
# A link to a heading of a page is checked as one to a page is.
myst_heading_anchors = 4
# Prose has straight quotes and hyphens of commands in it.
smartquotes = False
html_theme = "furo"
html_title = "Tidemark"
# Examples name their language where it matters; nothing else is coloured, or guessed to be one.
highlight_language = "none"


def setup(app: Sphinx) -> None:
    """Leave out the fields of named tuples: signatures have them, and Python says of each only its number."""
    app.connect("autodoc-skip-member", lambda _app, _what, _name, member, *_: _is_field(member) or None)


def _is_field(member: object) -> bool:
    return type(member).__name__ == "_tuplegetter"
