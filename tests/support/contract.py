"""The contract documents, and whether what tests see conforms to them.

Tests are stricter than the documents: clients are to ignore fields that they do not know, a test is to notice them. So
every object schema is closed here. One that ``allOf`` builds upon stays open inside it; what is built is closed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012, Schema

API = Path(__file__).parents[2] / "api"

Json = dict[str, Any]

_CLOSED = "contract://closed/"
_OPEN = "contract://open/"


def validate_rest(path: str, status: int, body: object | None, content_type: str = "") -> None:
    """Check an answer of ``path``, as it was asked for or as the document names it; ``body`` is None where it had none.

    Raises:
        AssertionError: The document has no such path or status.
        jsonschema.ValidationError: The body is not what the document says.
    """
    template, _, _ = path.partition("?")
    documented = openapi()["paths"]
    found = next((name for name in documented if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", name), template)), None)
    assert found is not None, f"expected a path of openapi.yaml, found {path}"
    responses = documented[found]["get"]["responses"]
    assert str(status) in responses, f"expected a status of {', '.join(responses)} of {found}, found {status}"
    pointer = f"/paths/{found.replace('/', '~1')}/get/responses/{status}"
    response = responses[str(status)]
    if "$ref" in response:
        pointer = response["$ref"].removeprefix("#")
        response = openapi()["components"]["responses"][pointer.rpartition("/")[2]]
    if body is None:
        return
    (documented_type,) = response["content"]
    assert content_type in {"", documented_type}, f"expected {documented_type}, found {content_type}"
    _check("openapi.yaml", f"{pointer}/content/{documented_type.replace('/', '~1')}/schema", body)


def validate_problem(body: object) -> None:
    """Check a problem, such as of a path that no document names."""
    _check("openapi.yaml", "/components/schemas/Problem", body)


def validate_server_message(message: object) -> None:
    """Check one message of the server; a frame is an array of such.

    Raises:
        jsonschema.ValidationError: It is none.
    """
    _check("asyncapi.yaml", _message_pointer(message, "type", "ServerMessage"), message)


def validate_client_message(message: object) -> None:
    """Check one message of a client.

    Raises:
        jsonschema.ValidationError: It is none.
    """
    _check("asyncapi.yaml", _message_pointer(message, "op", "ClientMessage"), message)


def _message_pointer(message: object, tag: str, union: str) -> str:
    """That of the message's own schema, whose complaints are plainer than those of a union."""
    name = str(message.get(tag)).title() if isinstance(message, dict) else ""
    known = name in asyncapi()["components"]["schemas"]
    return f"/components/schemas/{name if known else union}"


@cache
def openapi() -> Json:
    """The document of REST."""
    return _load("openapi.yaml")


@cache
def asyncapi() -> Json:
    """The document of the websocket."""
    return _load("asyncapi.yaml")


def _load(name: str) -> Json:
    document: Json = yaml.safe_load((API / name).read_text())
    return document


def _check(document: str, pointer: str, instance: object) -> None:
    _validator(document, pointer).validate(instance)


@cache
def _validator(document: str, pointer: str) -> Draft202012Validator:
    schema = {"$ref": f"{_CLOSED}{document}#{pointer}"}
    return Draft202012Validator(schema, registry=_registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)


@cache
def _registry() -> Registry[Schema]:
    resources = [
        (f"{space}{name}", DRAFT202012.create_resource(_in_space(_load(name), space, name)))
        for name in ("openapi.yaml", "asyncapi.yaml")
        for space in (_OPEN, _CLOSED)
    ]
    return Registry[Schema]().with_resources(resources)


def _in_space(node: Json, space: str, document: str, *, is_part: bool = False) -> Json:
    """A copy whose references lead to documents of the same space, and, from parts of ``allOf``, to open ones."""
    copied: Json = {}
    for name, value in node.items():
        if name == "$ref" and isinstance(value, str):
            file, _, pointer = value.partition("#")
            target = file.removeprefix("./") or document
            copied[name] = f"{_OPEN if is_part else space}{target}#{pointer}"
        elif isinstance(value, dict):
            copied[name] = _in_space(value, space, document)
        elif isinstance(value, list):
            copied[name] = [
                _in_space(element, space, document, is_part=name == "allOf") if isinstance(element, dict) else element
                for element in value
            ]
        else:
            copied[name] = value
    describes_object = "allOf" in node or (node.get("type") == "object" and "properties" in node)
    if space == _CLOSED and describes_object and not is_part:
        copied.setdefault("unevaluatedProperties", False)
    return copied
