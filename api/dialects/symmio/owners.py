"""Whose a sub-account is, for those that were made before the blocks that were read: ingest asks the chain for us."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from models.ids import account_key
from models.owners import OWNER_WAITED_FOR_S, encode_owner_request
from streams.kafka.single_records import NotWritten
from streams.kafka.topics import OWNER_REQUESTS

if TYPE_CHECKING:
    from api.dialects.symmio.owner_answers import OwnerAnswers
    from streams.kafka.single_records import RecordSink

logger = logging.getLogger(__name__)


class Owners:
    """Asks on one topic, and waits for the answer on another.

    Args:
        records: Take the requests.
        answers: What ingest has answered, as it is now.
    """

    def __init__(self, records: RecordSink, answers: OwnerAnswers) -> None:
        self._records = records
        self._answers = answers
        self._waiting: dict[bytes, set[asyncio.Future[None]]] = {}
        answers.listen(self._answered)

    async def owner_of(self, deployment: str, multi_account: str, account: str) -> str | None:
        """The wallet that had a MultiAccount make an account, as of the newest block.

        Args:
            deployment: Name of the deployment.
            multi_account: Address of one of its MultiAccounts, in lower case.
            account: Address of the account, in lower case.

        Returns:
            None where it did not make it, or where nobody says so in time.
        """
        key = account_key(deployment, account)
        if key not in self._answers.known:
            await self._ask(key)
        found = self._answers.known.get(key)
        return found.owner if found is not None and found.multi_account == multi_account else None

    async def _ask(self, key: bytes) -> None:
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        is_asked = key in self._waiting
        self._waiting.setdefault(key, set()).add(answered)
        try:
            async with asyncio.timeout(OWNER_WAITED_FOR_S):
                if not is_asked:
                    await self._records.send(OWNER_REQUESTS, key, encode_owner_request())
                await answered
        except (TimeoutError, NotWritten) as error:
            logger.warning("owner not told account=%s cause=%r", key.decode(), error)
        finally:
            self._waiting[key].discard(answered)
            if not self._waiting[key]:
                del self._waiting[key]

    def _answered(self, key: bytes) -> None:
        for answered in self._waiting.get(key, ()):
            if not answered.done():
                answered.set_result(None)
