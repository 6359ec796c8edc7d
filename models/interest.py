"""Records of the ``interest`` topic: a replica of the api serves an account to somebody. Key: the account's.

A replica writes a watch when the account gets its first watcher there, repeats it every ``INTEREST_EVERY_S``, and ends
it when the last watcher leaves. A replica that dies ends nothing: its watches expire after ``INTEREST_TTL_MS``.
"""

from __future__ import annotations

import msgspec

from models.codec import NUMBER_MAX
from models.errors import BadRecord

# Long enough for two lost repetitions and for clocks of two hosts that differ by seconds. It costs that the accounts of
# a replica that was killed are published at every flush for so long.
INTEREST_TTL_MS = 15_000
INTEREST_EVERY_S = 5.0
# Ten replicas that each serve 20,000 accounts; at up to 360 bytes a watch they take 72 MB. An account that finds no
# room is not lost, only published later.
WATCHES_MAX = 200_000
# An account's key is under 100 bytes and a replica's name 32. A longer one was not written by us, and without these
# bounds the one on watches would not bound memory.
_KEY_MAX_BYTES = 256
_REPLICA_MAX_CHARACTERS = 64


class Watch(msgspec.Struct, tag="watch", tag_field="kind", frozen=True):
    """The account is watched at ``replica`` until ``expires_ms``, in Unix ms.

    A time that has passed, or 0, ends the watch.
    """

    replica: str
    expires_ms: int


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Watch] = msgspec.json.Decoder(Watch)


def encode_watch(watch: Watch) -> bytes:
    """Encode a watch as JSON with its ``kind``."""
    return _encoder.encode(watch)


def decode_watch(key: bytes | None, value: bytes | None) -> Watch:
    """Decode a record of ``interest``.

    Raises:
        BadRecord: ``key`` cannot be an account's, or ``value`` is not a watch.
    """
    if not key or len(key) > _KEY_MAX_BYTES:
        msg = f"expected the key of an account, of 1 to {_KEY_MAX_BYTES} bytes, found {key[:80] if key else key!r}"
        raise BadRecord(msg)
    try:
        watch = _decoder.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"expected a watch of {key!r}, found {value[:80] if value else value!r}: {error}"
        raise BadRecord(msg) from error
    if not 0 < len(watch.replica) <= _REPLICA_MAX_CHARACTERS or not 0 <= watch.expires_ms <= NUMBER_MAX:
        msg = (
            f"expected a replica of 1 to {_REPLICA_MAX_CHARACTERS} characters and expires_ms in 0 to 2^63 - 1, "
            f"found {watch.replica[:80]!r} and {watch.expires_ms}"
        )
        raise BadRecord(msg)
    return watch


class Watches:
    """The watches that have not expired: the fold of the records of ``interest``.

    It also remembers which accounts have begun or ceased to be watched, until ``take_changes`` returns them.
    """

    def __init__(self) -> None:
        # In the order in which they were last repeated. All last equally long, so that is also the order in which they
        # expire, as far as the replicas' clocks agree.
        self._expires_ms: dict[tuple[bytes, str], int] = {}
        self.replicas: dict[bytes, int] = {}
        """The accounts that are watched, each with the number of replicas at which it is, at least 1."""
        self._begun: set[bytes] = set()
        self._ended: set[bytes] = set()

    def apply(self, account: bytes, watch: Watch, now_ms: int) -> bool:
        """Apply one record.

        Args:
            account: The account's key.
            watch: What the replica says of it.
            now_ms: The time now, in Unix ms.

        Returns:
            False where the watch was dropped, because there are ``WATCHES_MAX`` others.
        """
        key = account, watch.replica
        # A clock that is fast must not hold an account for longer than one that is right.
        expires_ms = min(watch.expires_ms, now_ms + INTEREST_TTL_MS)
        was_held = self._expires_ms.pop(key, None) is not None
        if expires_ms <= now_ms:
            if was_held:
                self._leave(account)
            return True
        if not was_held:
            if len(self._expires_ms) >= WATCHES_MAX:
                return False
            self._join(account)
        self._expires_ms[key] = expires_ms
        return True

    def expire(self, now_ms: int) -> None:
        """End the watches that were not repeated in time; ``now_ms`` is in Unix ms."""
        expired = []
        for key, expires_ms in self._expires_ms.items():
            if expires_ms > now_ms:
                break
            expired.append(key)
        for key in expired:
            del self._expires_ms[key]
            self._leave(key[0])

    def take_changes(self) -> tuple[set[bytes], set[bytes]]:
        """Return the accounts that have begun and those that have ceased to be watched since the last call."""
        begun, self._begun = self._begun, set()
        ended, self._ended = self._ended, set()
        return begun, ended

    def _join(self, account: bytes) -> None:
        replicas = self.replicas.get(account, 0)
        self.replicas[account] = replicas + 1
        if not replicas:
            _change(account, self._begun, self._ended)

    def _leave(self, account: bytes) -> None:
        self.replicas[account] -= 1
        if not self.replicas[account]:
            del self.replicas[account]
            _change(account, self._ended, self._begun)


def _change(account: bytes, changes: set[bytes], opposite: set[bytes]) -> None:
    if account in opposite:
        opposite.discard(account)
    else:
        changes.add(account)
