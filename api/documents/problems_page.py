"""``/docs/problems``: what each type of problem means, where its address leads."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from api.documents.page import html_page, markdown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.http.problems import Kind

_INTRODUCTION = (
    "Errors of `/v1` are problems of RFC 9457 (`application/problem+json`): `type`, `title`, `status` and `detail`. "
    "Where `type` is `about:blank`, the status says all. The other types are these."
)


def problems_page(path: str, kinds: Iterable[Kind]) -> bytes:
    """The page."""
    sections = [
        f'<h2 id="{kind.name}">{escape(kind.title)}</h2>\n<p><code>{kind.name}</code>, status {kind.status.value}</p>\n'
        + markdown(kind.meaning)
        for kind in kinds
    ]
    return html_page(path, "<h1>Problems</h1>\n" + markdown(_INTRODUCTION) + "\n".join(sections))
