"""The hedgers of a deployment whose quotes are charged, each with a signer of its own, wherever its key lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from streams.funder.kms_key import kms_key
from streams.funder.local_key import local_key, read_key_file
from streams.funder.remote_key import RemoteKey
from streams.funder.signer import Signer
from streams.settings import BadSettings

if TYPE_CHECKING:
    import aiohttp

    from streams.funder.signer import Key
    from streams.settings import SymmioSettings
    from streams.settings.symmio.funding import KeySettings


class Hedger(NamedTuple):
    """A hedger, and who signs for it."""

    party_b: str
    signer: Signer


def party_bs(name: str, deployment: SymmioSettings) -> dict[str, KeySettings]:
    """List the hedgers' addresses, the first one first, with the settings of their keys.

    Args:
        name: The deployment's name, for messages.
        deployment: Its settings.

    Raises:
        BadSettings: None is configured.
    """
    funding = deployment.funding
    if funding.party_b is None:
        msg = f"deployments.{name}.funding.party_b: expected an address, found nothing"
        raise BadSettings(msg)
    return {funding.party_b: funding} | {one.party_b: one for one in funding.hedgers.values()}


async def hedgers_of(name: str, deployment: SymmioSettings, session: aiohttp.ClientSession) -> list[Hedger]:
    """Find the hedgers and their signers, the first one first.

    Args:
        name: The deployment's name, for messages.
        deployment: Its settings.
        session: HTTP client for remote signers; its owner closes it.

    Raises:
        BadSettings: A key is missing or is none, or two hedgers have the same one.
    """
    found = []
    for party_b, settings in party_bs(name, deployment).items():
        where = f"deployments.{name}.funding of {party_b}"
        found.append(Hedger(party_b, Signer(await _key(settings, where, session), deployment.chain_id)))
    if len({one.signer.address for one in found}) < len(found):
        msg = f"deployments.{name}.funding: expected a key for each hedger, since one key's nonces are one row of them"
        raise BadSettings(msg)
    return found


async def _key(settings: KeySettings, where: str, session: aiohttp.ClientSession) -> Key:
    if settings.key is not None:
        return local_key(settings.key.get_secret_value(), f"{where}: key")
    if settings.key_file is not None:
        return local_key(read_key_file(settings.key_file, f"{where}: key_file"), f"{where}: key_file")
    if settings.remote_signer is not None and settings.remote_address is not None:
        return RemoteKey(session, settings.remote_signer.get_secret_value(), settings.remote_address)
    if settings.kms_key is not None:
        return await kms_key(settings.kms_key, f"{where}: kms_key")
    msg = f"{where}: expected key, key_file, remote_signer or kms_key, found none of them"
    raise BadSettings(msg)
