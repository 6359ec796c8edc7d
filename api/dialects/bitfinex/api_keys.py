"""API keys: who logs in with which secret, and what it opens. They stand in a file, which may change at any time.

The file is JSON: ``{"keys": {"API KEY": {"secret": …, "user": …, "accounts": ["DEPLOYMENT:ACCOUNT"]}}}``. A signature
can be checked only with the secret itself, so the file holds it as it is: it is for its owner's eyes alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from models.errors import TidemarkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_log = logging.getLogger(__name__)

PERMISSIONS = ("wallets", "positions", "orders", "funding")
"""What a key may open; a key that names none opens all of them."""

OWNER = "owner="
"""How an entry of ``accounts`` begins, after the deployment, that stands for all accounts of one owner."""

_OWN_EYES = 0o600
# Python's $ would let a line feed follow.
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=r"^[!-~]+\Z")]
_Account = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]*:(owner=)?[A-Za-z0-9._-]{1,64}\Z")]


class BadKeys(TidemarkError):
    """The file of API keys cannot be read or written, or a key would show nothing. The message holds no secret."""


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key.

    Attributes:
        secret: What its holder signs with.
        user: Whose it is; limits count over all keys of one user.
        accounts: What it shows, as ``DEPLOYMENT:ACCOUNT``, or ``DEPLOYMENT:owner=OWNER`` for all accounts of an owner.
            Several are of one deployment, and are shown as one.
        permissions: Which of ``PERMISSIONS`` it opens; empty for all.
    """

    secret: _Text
    user: _Text
    accounts: Annotated[tuple[_Account, ...], msgspec.Meta(min_length=1, max_length=100)]
    permissions: tuple[str, ...] = ()

    @property
    def deployment(self) -> str:
        """The deployment of its accounts."""
        return self.accounts[0].partition(":")[0]

    @property
    def user_id(self) -> int:
        """The user's number, the same wherever and whenever it is asked for."""
        return int.from_bytes(hashlib.sha256(self.user.encode()).digest()[:4]) >> 1

    def opens(self, permission: str) -> bool:
        """Whether it opens one of ``PERMISSIONS``."""
        return not self.permissions or permission in self.permissions

    def __repr__(self) -> str:
        return f"ApiKey(user={self.user!r}, accounts={self.accounts!r})"


class _Keys(msgspec.Struct, forbid_unknown_fields=True):
    keys: dict[_Text, ApiKey] = {}


class KeyFile:
    """The keys of a file, read again whenever the file is another one.

    A file that cannot be read, or holds no keys, changes nothing: the keys of before stay, and the log says why.

    Args:
        path: The file. It may be a link that is set to another file, as secrets are mounted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_as: tuple[int, ...] | None = None
        self._fault = ""
        self._keys: Mapping[str, ApiKey] = {}

    def load(self) -> None:
        """Read it for the first time.

        Raises:
            BadKeys: It cannot be read, or holds no keys.
        """
        self._read_as, self._keys = _stamp(self._path), read_keys(self._path)

    def find(self, api_key: str) -> ApiKey | None:
        """The key of that name, None where there was none when the file was last looked at."""
        return self._keys.get(api_key)

    def refresh(self) -> None:
        """Read the file again if it is another one than before."""
        try:
            stamp = _stamp(self._path)
            if stamp == self._read_as:
                return
            # What cannot be read is not tried again until it changes.
            self._read_as = stamp
            self._keys = read_keys(self._path)
        except BadKeys as error:
            # A file that is gone is looked for at each login, which any stranger may ask for.
            if str(error) != self._fault:
                _log.error("api keys are as they were before: %s", error)
            self._fault = str(error)
        else:
            self._fault = ""
            _log.info("api keys read file=%s keys=%d", self._path, len(self._keys))


def read_keys(path: Path) -> dict[str, ApiKey]:
    """Read the keys of a file.

    Raises:
        BadKeys: It cannot be read, or holds no keys.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        msg = f"expected API keys in {path}, found: {error.strerror}; tidemark keys add makes the first one"
        raise BadKeys(msg) from error
    return _decoded(path, text)


def _decoded(path: Path, text: bytes) -> dict[str, ApiKey]:
    try:
        keys = msgspec.json.decode(text, type=_Keys).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # The decoder's message names the field and never its value.
        msg = f"expected API keys in {path}, found: {error}"
        raise BadKeys(msg) from None
    for name, key in keys.items():
        _expect_sound(path, name, key)
    return keys


@contextmanager
def keys_alone(path: Path) -> Iterator[dict[str, ApiKey]]:
    """Read the keys of a file in order to write others in their place, while nobody else does the same.

    Without that, a key that is taken back would be there again after another command that had read the file before.
    A file that is not there has no keys.

    Raises:
        BadKeys: It cannot be read, or its directory cannot be.
    """
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        msg = f"expected a directory in {path.parent}, found: {error.strerror}; make it first"
        raise BadKeys(msg) from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield read_keys(path) if path.exists() else {}
    finally:
        os.close(directory)


def write_keys(path: Path, keys: Mapping[str, ApiKey]) -> None:
    """Write keys in place of those of a file, all at once, for its owner's eyes alone.

    Raises:
        BadKeys: A key is none that could be read again, or the file cannot be written; it is as it was before.
    """
    text = msgspec.json.format(msgspec.json.encode(_Keys(dict(keys))), indent=2)
    _decoded(path, text)
    try:
        descriptor, written = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), _OWN_EYES)
                _keep_owner(path, file.fileno())
                file.write(text + b"\n")
                file.flush()
                os.fsync(file.fileno())
            Path(written).replace(path)
        except BaseException:  # a file of secrets must not be left beside, also where the command is interrupted
            Path(written).unlink(missing_ok=True)
            raise
    except OSError as error:
        msg = f"expected to write {path}, found: {error.strerror}; a mounted secret is changed where it is kept"
        raise BadKeys(msg) from error


def _keep_owner(path: Path, descriptor: int) -> None:
    """Give a new file to the owner of the one it replaces: replicas may be another user than who takes a key back."""
    try:
        owner = path.stat()
    except FileNotFoundError:
        return
    written = os.fstat(descriptor)
    if (owner.st_uid, owner.st_gid) != (written.st_uid, written.st_gid):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _expect_sound(path: Path, name: str, key: ApiKey) -> None:
    if {one.partition(":")[0] for one in key.accounts} != {key.deployment}:
        msg = f"{path}: expected the accounts of key {name} to be of one deployment, found {', '.join(key.accounts)}"
        raise BadKeys(msg)
    unknown = [one for one in key.permissions if one not in PERMISSIONS]
    if unknown:
        msg = f"{path}: expected permissions of {', '.join(PERMISSIONS)} for key {name}, found {unknown[0]!r}"
        raise BadKeys(msg)


def _stamp(path: Path) -> tuple[int, ...]:
    """What differs wherever the file is another one, or may be read where it could not be before: that is its ctime."""
    try:
        found = path.stat()
    except OSError as error:
        msg = f"expected API keys in {path}, found: {error.strerror}; tidemark keys add makes the first one"
        raise BadKeys(msg) from error
    return found.st_ino, found.st_ctime_ns, found.st_size
