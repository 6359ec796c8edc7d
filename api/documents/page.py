"""The HTML page that is the same around every document."""

from __future__ import annotations

from html import escape

from markdown_it import MarkdownIt

_PAGES = {"/docs": "REST", "/docs/websocket": "Websocket", "/docs/problems": "Problems"}

_markdown = MarkdownIt("commonmark", {"html": False}).enable("table")


def markdown(text: str) -> str:
    """Render Markdown as HTML; HTML inside it is shown as text."""
    rendered: str = _markdown.render(text)
    return rendered


def html_page(path: str, body: str) -> bytes:
    """Return the page of ``path`` around its body."""
    links = " ".join(
        f'<a href="{href}"{" aria-current=" + chr(34) + "page" + chr(34) if href == path else ""}>{name}</a>'
        for href, name in _PAGES.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Tidemark: {escape(_PAGES[path])}</title>
  <link rel="icon" href="/dashboard/mark.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/docs/page.css">
</head>
<body>
  <nav aria-label="Documents"><a href="/">Tidemark</a> {links}</nav>
  <main>
{body}
  </main>
</body>
</html>
""".encode()
