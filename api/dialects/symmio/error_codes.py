"""``/error_codes`` and ``/error_codes/{code}``: explanations for users of the error codes in position states."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from api.dialects.symmio.replies import Refusal, reply
from api.http.keys import SETTINGS
from streams.settings import symmio_deployments

if TYPE_CHECKING:
    from aiohttp import web

ERROR_CODES = {
    "4000": "The market order was not taken: your account would not stay solvent with it.",
    "4001": "The market order was not taken: the solver would not stay solvent with it, or its cap is used up.",
    "4002": "The solver let the quote go because your account is short of margin. Another solver may still take it.",
    "4003": "The solver let the quote go because it is short of margin itself. Another solver may still take it.",
    "4004": "The close request was refused because your account is not solvent. It may be under liquidation.",
    "4005": "The close request was refused because the solver is short of margin. Cancel it, and try again later.",
    "4006": "The market order failed at the exchange for a reason that is not known. Send a new one.",
    "4007": "The solver failed to handle the request. Try again, or ask for support.",
    "4008": "The market order to close was not taken because the solver is short of margin. Cancel it and try later.",
    "4011": "The request failed because one of the parties would not stay solvent.",
    "4012": "The market order is larger than what the solver can still take on.",
    "4101": "The solver let the quote go for a reason that is not known. Another solver may still take it.",
    "4103": "The position was closed by force before the close request was handled.",
    "4104": "The quote was not opened because the market has moved away. Another solver may still take it.",
    "4105": "What the quote locks is outside of what the solver accepts.",
}
"""The codes that solvers are known to use, by their decimal texts."""


async def error_codes(request: web.Request, deployment: str) -> web.Response:
    """Answer every code."""
    return reply(_codes(request, deployment))


async def error_code(request: web.Request, deployment: str) -> web.Response:
    """Answer one code, as a map of that one."""
    code = request.match_info["code"]
    text = _codes(request, deployment).get(code)
    if text is None:
        raise Refusal(HTTPStatus.NOT_FOUND, f"no error code {code[:80]!r}")
    return reply({code: text})


def _codes(request: web.Request, deployment: str) -> dict[str, str]:
    return {**ERROR_CODES, **symmio_deployments(request.app[SETTINGS])[deployment].solver.error_codes}
