"""Where a request may carry a token: its header, a websocket's subprotocols, or, for a ticket alone, its path."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from api.access.tokens import TICKET, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

TICKET_MOUNT = "/ticket/{ticket}"
"""What the paths begin with that clients use which can send no header and know but a base address."""

SUBPROTOCOL = "tidemark.bearer"
"""What a page offers beside the subprotocol that holds its token, and what the handshake then agrees on."""

_TOKEN_PREFIX = f"{SUBPROTOCOL}."
# URLs stay in logs, histories and referrers, and a token in one would too: it is refused before it becomes a habit.
_NAMES_OF_TOKENS = {"token", "access_token", "accesstoken", "auth_token", "id_token", "jwt", "bearer", "authorization"}
_ANOTHER_FORM = "expected one header Authorization: Bearer …, found another form"
_ANOTHER_OFFER = f"expected the subprotocols {SUBPROTOCOL} and {_TOKEN_PREFIX}TOKEN, each once, found others"
_SEVERAL = "expected one token, found several: in a header, in a subprotocol or in the path"


class Credential(NamedTuple):
    """A token as it came, and what it must have been issued for."""

    token: str
    use: str


def refuse_token_in_url(request: web.Request) -> None:
    """Refuse a request with a token in its query.

    Raises:
        aiohttp.web.HTTPBadRequest: It has one, valid or not.
    """
    if not _NAMES_OF_TOKENS.isdisjoint(name.lower() for name in request.query):
        text = "expected no token in the URL, found one: revoke it, and send the next in the Authorization header"
        raise web.HTTPBadRequest(text=text)


def credential_of(request: web.Request) -> Credential | None:
    """Find the token or ticket that a request carries; None where it carries none.

    Raises:
        aiohttp.web.HTTPUnauthorized: It carries several, or one in another form than is understood.
    """
    found = [*_of_header(request), *_of_subprotocols(request), *_of_path(request)]
    if len(found) > 1:
        raise unauthorized(_SEVERAL, "invalid_request")
    return found[0] if found else None


def unauthorized(text: str, code: str) -> web.HTTPUnauthorized:
    """Make the refusal of a request without a good token.

    Args:
        text: What was expected and what was found.
        code: The error's code; RFC 6750, section 3, gives one only where there was a token, so "" is none.
    """
    challenge = f'Bearer realm="tidemark", error="{code}"' if code else 'Bearer realm="tidemark"'
    return web.HTTPUnauthorized(text=text, headers={"WWW-Authenticate": challenge})


def _of_header(request: web.Request) -> Iterator[Credential]:
    values = request.headers.getall("Authorization", ())
    if not values:
        return
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise unauthorized(_ANOTHER_FORM, "invalid_request")
    yield Credential(token.strip(), TOKEN)


def _of_subprotocols(request: web.Request) -> Iterator[Credential]:
    offers = [
        offer.strip() for value in request.headers.getall("Sec-WebSocket-Protocol", ()) for offer in value.split(",")
    ]
    tokens = [offer.removeprefix(_TOKEN_PREFIX) for offer in offers if offer.startswith(_TOKEN_PREFIX)]
    if not tokens:
        return
    # A handshake that agrees on no offer has all of them written to the log, with the token among them.
    if len(tokens) > 1 or SUBPROTOCOL not in offers:
        raise unauthorized(_ANOTHER_OFFER, "invalid_request")
    yield Credential(tokens[0], TOKEN)


def _of_path(request: web.Request) -> Iterator[Credential]:
    ticket = request.match_info.get("ticket")
    if ticket is not None:
        yield Credential(ticket, TICKET)
