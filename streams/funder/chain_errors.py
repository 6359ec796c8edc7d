"""How questions to the chain fail, and for how long they are asked.

* ``ChainError``: the root; carries no URL, since that may hold a provider's key.
    * ``NodeDown``: no endpoint gave an answer that can be used.
    * ``Reverted``: a contract refused a call; its text is the contract's.
    * ``Contradicted``: endpoints say different things, no two of them the same.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from models.errors import TidemarkError
from streams.funder.diamond_calls import revert_reason
from streams.node.endpoints import Patience
from streams.node.rpc import CallReverted, Refused, RpcError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# A failing endpoint is asked again after up to 0.2 s, 0.4 s … 2 s.
_WAITS_S = (0.2, 2.0)
PATIENCE = Patience(answer_s=5.0, down_s=_WAITS_S)
"""How long the executor waits for an endpoint: a window is minutes long, and a batch asks some ten times."""
# Time for two answers that do not come, and for a third that does: a node that fails for less is not noticed.
_ANSWERED_WITHIN_S = 3 * PATIENCE.answer_s


class ChainError(TidemarkError):
    """The chain did not do what was asked."""


class NodeDown(ChainError):
    """No endpoint answers, or none of them what was asked. Check ``rpc`` of the deployment."""


class Reverted(ChainError):
    """A contract refused a call.

    Args:
        msg: The contract's reason.
        label: Names the endpoint, whose state may be an old one.
    """

    def __init__(self, msg: str, label: str) -> None:
        super().__init__(msg)
        self.label = label


class Contradicted(ChainError):
    """Endpoints differ about what a charge depends on. It is asked again; configure three, so that one is outvoted."""


def reverted(error: CallReverted) -> Reverted:
    """Tell a contract's refusal by its own reason."""
    said = revert_reason(error.data) if error.data else error.said.removeprefix("execution reverted: ")
    return Reverted(said, error.label)


def node_down(method: str, error: RpcError) -> NodeDown:
    """Tell that no endpoint answered a method, and how the last one failed."""
    return _down(method, error.said if isinstance(error, Refused) else str(error))


@asynccontextmanager
async def answered_in_time(method: str) -> AsyncIterator[None]:
    """Bound a question, and tell its failures as the chain's.

    Args:
        method: What is asked, for messages.

    Raises:
        NodeDown: No endpoint answers, or none of them within 15 s.
        Reverted: A contract refuses a call.
    """
    try:
        async with asyncio.timeout(_ANSWERED_WITHIN_S):
            yield
    except CallReverted as error:
        raise reverted(error) from None
    except RpcError as error:
        raise node_down(method, error) from error
    except TimeoutError as error:
        raise _down(method, f"no answer in {_ANSWERED_WITHIN_S} s") from error


def _down(method: str, said: str) -> NodeDown:
    return NodeDown(f"expected an endpoint to answer {method}, found {said}")
