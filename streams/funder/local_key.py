"""A key that the process itself holds: in its settings, or in a file that only its owner reads."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from eth_account import Account

from streams.funder.signer import Signed
from streams.settings import BadSettings

if TYPE_CHECKING:
    from pathlib import Path

    from eth_account.signers.local import LocalAccount


class LocalKey:
    """Signs with a key in memory.

    Args:
        account: Holds the key.
    """

    def __init__(self, account: LocalAccount) -> None:
        self.address = account.address.lower()
        self._account = account

    async def sign(self, fields: dict[str, Any]) -> Signed:
        """Sign a transaction."""
        signed = self._account.sign_transaction(fields)
        return Signed("0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex())


def read_key_file(file: Path, where: str) -> str:
    """Read a private key from a file that nobody else may read.

    A file that is ours needs no rights of its group. One of another owner, such as a mounted secret, may be ours to
    read through its group only.

    Args:
        file: The file.
        where: Names the setting, for messages.

    Raises:
        BadSettings: It cannot be read, or others can read or change it.
    """
    try:
        found = file.stat()
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no text"
        msg = f"{where}: expected a file with a private key, found {said}: {file}"
        raise BadSettings(msg) from None
    others = stat.S_IRWXO | (stat.S_IRWXG if found.st_uid == os.geteuid() else stat.S_IWGRP)
    if found.st_mode & others:
        mode = stat.S_IMODE(found.st_mode)
        msg = f"{where}: expected a file that only its owner reads, found mode {mode:04o}; run chmod 600 {file}"
        raise BadSettings(msg)
    return text


def local_key(text: str, where: str) -> LocalKey:
    """Make a key of its text.

    Args:
        text: The key in hex; blanks around it do not count.
        where: Names the setting, for messages.

    Raises:
        BadSettings: The text is no key; the message does not hold it.
    """
    try:
        return LocalKey(Account.from_key(text.strip()))
    except ValueError:
        msg = f"{where}: expected a private key of 0x and 64 hex digits, found {len(text.strip())} other characters"
        raise BadSettings(msg) from None
