"""What is wrong with a section, in words: the key, what was expected, and which key was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from streams.settings.known_keys import is_secret, keys_beside, meant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

S = TypeVar("S", bound=BaseModel)

_UNKNOWN = "unknown_key"
# Others, such as that of a path, can be told of again only as errors of our own.
_KNOWN_TYPES = frozenset(get_args(ErrorType))
# What is found there may be a secret: an endpoint holds a node provider's key, a misspelt name may be followed by a
# token's key, and what a package's dialect has in its section is not known here.
_HIDDEN = {"rpc", "keys", "funding", "dialects", "sasl"}
# A text where a section is expected is all that somebody meant to say in it, such as JSON that broke.
_NO_SECTION = {"dict_type", "model_type", "model_attributes_type"}


def read_by_kind(section: Mapping[object, object], form: type[S]) -> S:
    """Read a section by the settings of its kind.

    Args:
        section: The section as it is written.
        form: The settings of its kind.

    Raises:
        pydantic.ValidationError: It is wrong. What is said of an unknown key is looked for among those of this kind,
            which the whole configuration's form does not know.
    """
    try:
        return form.model_validate(section)
    except ValidationError as error:
        found = [_of_kind(one, form) for one in error.errors()]
        raise ValidationError.from_exception_data(error.title, found) from None


def faults(error: ValidationError, root: type[BaseModel], *where: str) -> str:
    """Say what is wrong, a line for each key.

    Args:
        error: What pydantic found.
        root: The form that was read.
        where: Where it stands in the configuration.
    """
    return "\n".join(_said(one, root, where) for one in error.errors())


def _of_kind(error: ErrorDetails, form: type[BaseModel]) -> InitErrorDetails:
    said: str | PydanticCustomError = error["type"]
    if said == "extra_forbidden":
        said = PydanticCustomError(_UNKNOWN, "{said}", {"said": _unknown(error, form)})
    elif said not in _KNOWN_TYPES:
        said = PydanticCustomError(error["type"], "{said}", {"said": error["msg"]})
    # The whole configuration's form does not know which keys of a kind are secrets.
    found = SecretStr("") if is_secret(form, error["loc"]) else error["input"]
    details = InitErrorDetails(type=said, loc=error["loc"], input=found)
    if isinstance(said, str) and "ctx" in error:
        details["ctx"] = error["ctx"]
    return details


def _unknown(error: ErrorDetails, root: type[BaseModel]) -> str:
    known = keys_beside(root, error["loc"])
    return f"expected a key that there is, found an unknown one; {meant(str(error['loc'][-1]), known)}"


def _said(error: ErrorDetails, root: type[BaseModel], where: tuple[str, ...]) -> str:
    path = (*where, *error["loc"])
    key = ".".join(map(str, path))
    match error["type"]:
        case "extra_forbidden":
            return f"{key}: {_unknown(error, root)}"
        case "unknown_key":
            return f"{key}: {error['msg']}"
        case "value_error":
            # Our own validators put into the message what they found.
            return f"{key}: {error['msg'].removeprefix('Value error, ')}"
        case _:
            # A table that may hold a misplaced key is not shown either.
            is_hidden = (
                not _HIDDEN.isdisjoint(path)
                or isinstance(error["input"], dict | SecretStr)
                or error["type"] in _NO_SECTION
                or is_secret(root, error["loc"])
            )
            return f"{key}: {error['msg']}" if is_hidden else f"{key}: {error['msg']}, found {error['input']!r}"
