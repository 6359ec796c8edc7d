"""The check of tokens, and the count of those that were refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.access.tokens import ANYONE, TOKEN, NotAuthenticated
from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.access.limits import TokenBuckets
    from api.access.tokens import Authenticator, Principal


class TooManyFailures(TidemarkError):
    """Too many tokens from one address were refused; wait before the next."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too many tokens were refused; expected the next one after {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class Guard:
    """Checks the tokens of all clients, and counts refused ones by the address they come from.

    A good token is accepted however many bad ones came from its address: a neighbour must not be able to lock it out.

    Args:
        authenticator: Checks a token; None where reading is open, and everybody may read everything.
        failures: How many refused tokens an address may send before the answer is that there were too many.
        clock_s: A clock that does not go back, in s.
    """

    def __init__(
        self, authenticator: Authenticator | None, failures: TokenBuckets, clock_s: Callable[[], float]
    ) -> None:
        self._authenticator = authenticator
        self._failures = failures
        self._clock_s = clock_s

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return self._authenticator is None

    def authenticate(self, token: str, client: str, use: str = TOKEN) -> Principal:
        """Find out whose token it is.

        Args:
            token: The token.
            client: The key of the client's address in limits.
            use: What it must have been issued for.

        Raises:
            NotAuthenticated: The token is refused.
            TooManyFailures: The token is refused, and too many others from that address were.
        """
        if self._authenticator is None:
            return ANYONE
        try:
            return self._authenticator.authenticate(token, use)
        except NotAuthenticated as error:
            wait_s = self._failures.take(client, self._clock_s())
            if wait_s:
                raise TooManyFailures(wait_s) from error
            raise
