"""Writes ``src/messages.ts``, the types of what goes over ``/v1/ws``, after ``api/asyncapi.yaml``: ``make client``."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import yaml

Json = dict[str, Any]

_HERE: Final = Path(__file__).parent
_API: Final = _HERE.parents[1] / "api"
_OUTPUT: Final = _HERE / "src" / "messages.ts"
_ROOTS: Final = ("ServerMessage", "ClientMessage")
_PLAIN: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
_LINE: Final = "\n"
_NAME: Final = re.compile(r"[A-Za-z_]\w*")


class Types:
    """The types that have been found to be needed, by name."""

    def __init__(self) -> None:
        self._documents = {path.name: yaml.safe_load(path.read_text()) for path in sorted(_API.glob("*api.yaml"))}
        self.found: dict[str, str] = {}

    def of(self, schema: Json, document: str) -> str:
        """Return a schema as TypeScript writes it.

        Raises:
            ValueError: The schema says something that this does not know.
        """
        match schema:
            case {"$ref": reference}:
                return self.named(reference, document)
            case {"const": value}:
                return json.dumps(value)
            case {"enum": values}:
                return " | ".join(map(json.dumps, values))
            case {"type": "object"}:
                # What else it says, such as which of its fields come together, is more than a type can.
                return self._object(schema, document)
            case {"oneOf": choices} | {"anyOf": choices}:
                return " | ".join(self.of(choice, document) for choice in choices)
            case {"allOf": parts}:
                return " & ".join(self.of(part, document) for part in parts)
            case {"type": list(kinds)}:
                return " | ".join(self.of({**schema, "type": kind}, document) for kind in kinds)
            case {"type": "array", "items": items}:
                return f"readonly ({self.of(items, document)})[]"
            case {"type": kind} if kind in _PLAIN:
                return _PLAIN[kind]
            case _:
                msg = f"expected a schema of a form that stands here, found {schema}"
                raise ValueError(msg)

    def named(self, reference: str, document: str) -> str:
        """Return the name of a schema that is referred to, and find what it is."""
        where, _, pointer = reference.partition("#")
        document = Path(where).name or document
        name = pointer.rpartition("/")[2]
        if name not in self.found:
            self.found[name] = ""
            schema = self._documents[document]["components"]["schemas"][name]
            self.found[name] = f"{_comment(schema, '')}export type {name} = {self.of(schema, document)};\n"
        return name

    def _object(self, schema: Json, document: str) -> str:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        if not properties:
            others = schema.get("additionalProperties", True)
            return f"{{ readonly [name: string]: {'unknown' if others is True else self.of(others, document)} }}"
        lines = [
            f"{_comment(of, '  ')}  readonly {name if _NAME.fullmatch(name) else json.dumps(name)}"
            f"{'' if name in required else '?'}: {self.of(of, document).replace(_LINE, _LINE + '  ')};\n"
            for name, of in properties.items()
        ]
        return "{\n" + "".join(lines) + "}"


def _comment(schema: Json, indent: str) -> str:
    text = " ".join(str(schema.get("description", "")).split()).replace("*/", "* /")
    return f"{indent}/** {text} */\n" if text else ""


def generated() -> str:
    """Return the text of ``src/messages.ts``."""
    types = Types()
    for root in _ROOTS:
        types.named(f"#/components/schemas/{root}", "asyncapi.yaml")
    return "\n".join(["// generate_types.py writes this after api/asyncapi.yaml.\n", *types.found.values()])


def main() -> None:
    """Write the types, or with --check say whether they are current."""
    if sys.argv[1:] != ["--check"]:
        _OUTPUT.write_text(generated())
    elif _OUTPUT.read_text() != generated():
        sys.exit(f"expected {_OUTPUT.name} to be what api/asyncapi.yaml says, found another: run make client")


if __name__ == "__main__":
    main()
