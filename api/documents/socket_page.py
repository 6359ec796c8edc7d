"""``/docs/websocket``: the AsyncAPI document as a page, message by message.

The document is our own, so only the parts of AsyncAPI that it uses are rendered.
"""

from __future__ import annotations

from html import escape
from typing import Any

import yaml

from api.documents.page import html_page, markdown

Json = dict[str, Any]

_REST = "./openapi.yaml#/components/schemas/"
_OWN = "#/components/schemas/"


def socket_page(path: str, document: bytes) -> bytes:
    """Render the page of a document in YAML."""
    asyncapi: Json = yaml.safe_load(document)
    schemas: Json = asyncapi["components"]["schemas"]
    (channel,) = asyncapi["channels"].values()
    said = [reference["$ref"] for reference in schemas["ServerMessage"]["oneOf"]]
    heard = [reference["$ref"] for reference in schemas["ClientMessage"]["oneOf"]]
    shown = {_name(reference) for reference in (*said, *heard)} | {"ServerMessage", "ClientMessage"}
    rest = [f"{_OWN}{name}" for name in schemas if name not in shown]
    summaries = {_name(message["payload"].get("$ref", "")): message for message in _messages(asyncapi)}
    body = [f"<h1>{escape(asyncapi['info']['title'])}</h1>", markdown(asyncapi["info"]["description"])]
    body += ['<p>The document itself: <a href="/v1/asyncapi.yaml">asyncapi.yaml</a>.</p>']
    body += [f"<h2>{escape(channel['address'])}</h2>", markdown(channel["description"])]
    for title, references in (("From the server", said), ("From the client", heard), ("What these are made of", rest)):
        body.append(f"<h2>{title}</h2>")
        body += [_section(_name(one), schemas[_name(one)], summaries.get(_name(one), {})) for one in references]
    return html_page(path, "\n".join(body))


def _messages(asyncapi: Json) -> list[Json]:
    messages: Json = asyncapi["components"]["messages"]
    return list(messages.values())


def _section(name: str, schema: Json, message: Json) -> str:
    parts = [f'<h3 id="{name}">{escape(name)}</h3>']
    parts += [markdown(text) for text in (message.get("title"), message.get("summary")) if text]
    return "\n".join([*parts, _described(schema)])


def _described(schema: Json) -> str:
    parts = [markdown(schema["description"])] if "description" in schema else []
    if "properties" in schema:
        parts.append(_fields(schema))
    elif "oneOf" in schema or "anyOf" in schema:
        cases = schema.get("oneOf") or schema["anyOf"]
        parts.append("<ul>" + "".join(f"<li>{_case(case)}</li>" for case in cases) + "</ul>")
    else:
        parts.append(f"<p>{_kind(schema)}</p>")
    return "\n".join(parts)


def _case(schema: Json) -> str:
    return _fields(schema) if "properties" in schema else _kind(schema)


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    rows = "\n".join(
        f"<tr><th scope=row><code>{escape(name)}</code>"
        f"{'' if name in required else ' <span class=optional>optional</span>'}</th>"
        f"<td>{_kind(field)}</td><td>{markdown(field.get('description', ''))}</td></tr>"
        for name, field in schema["properties"].items()
    )
    head = "<thead><tr><th scope=col>Field</th><th scope=col>Is</th><th scope=col>Says</th></tr></thead>"
    return f"<div class=fields><table>{head}<tbody>\n{rows}\n</tbody></table></div>"


def _kind(schema: Json) -> str:
    if "$ref" in schema:
        return _link(schema["$ref"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    bounds = [f"{sign} {schema[name]}" for name, sign in (("minimum", "≥"), ("maximum", "≤")) if name in schema]
    kind = escape(" ".join([str(schema.get("type", "anything")), *bounds]))
    if "items" in schema:
        return f"{kind} of {_kind(schema['items'])}"
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        return f"{kind} of {_case(values)}"
    return f"{kind}{_fields(schema)}" if "properties" in schema else kind


def _link(reference: str) -> str:
    name = _name(reference)
    if reference.startswith(_REST):
        return f'<a href="/docs">{escape(name)}</a> of REST'
    return f'<a href="#{name}">{escape(name)}</a>'


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]
