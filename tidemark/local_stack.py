"""The local stack of a data directory: whether one runs there, and with which configuration, so that others find it."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from models.errors import TidemarkError
from streams.settings import BadSettings, load_settings, settings_of_file
from tidemark.ports import url_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.settings import Settings

_LOCK = "up.lock"
_CONFIG = "effective.toml"
# Whoever looks whether a stack runs holds the lock for some µs.
_ATTEMPTS = 3
_AGAIN_S = 0.05
# Where a server listens on every address, it is reached on the loopback.
_EVERY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


class AlreadyUp(TidemarkError):
    """Another ``tidemark up`` runs in this data directory. Stop that one, or set another ``data_dir``."""


class StillStarting(TidemarkError):
    """A local stack has not come so far yet that others can find it. Try again in some seconds."""


def config_of(data_dir: Path) -> Path:
    """The file from which all processes of a data directory's stack take their settings."""
    return data_dir / _CONFIG


@contextmanager
def alone_in(data_dir: Path) -> Iterator[None]:
    """Be the one stack of a data directory for as long as the block lasts.

    Raises:
        AlreadyUp: Another one runs there.
    """
    with (data_dir / _LOCK).open("a") as lock:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if attempt == _ATTEMPTS:
                    msg = (
                        f"another `tidemark up` works in {data_dir}: "
                        "stop it, or give this one a TIDEMARK_DATA_DIR of its own"
                    )
                    raise AlreadyUp(msg) from error
                time.sleep(_AGAIN_S)
            else:
                break
        # That of an earlier stack names ports on which nothing listens any more.
        config_of(data_dir).unlink(missing_ok=True)
        yield


def settings_here() -> Settings:
    """Read the configuration, or that of the local stack that runs here, where ours names no Kafka.

    A stack runs here if its data directory is ours and it has every deployment that ours names.

    Raises:
        BadSettings: The configuration is wrong.
        StillStarting: A stack runs here and has not written its configuration yet.
    """
    settings = load_settings()
    if settings.kafka is not None or not _is_locked(settings.data_dir):
        return settings
    config = config_of(settings.data_dir)
    if not config.exists():
        msg = f"expected {config} of the `tidemark up` that runs here, found none yet; try again in some seconds"
        raise StillStarting(msg)
    of_stack = settings_of_file(config)
    return of_stack if settings.deployments.keys() <= of_stack.deployments.keys() else settings


def api_url(given: str | None) -> str:
    """Return the address of an api: the one given, else that of the local stack or of the configuration.

    Raises:
        BadSettings: None is given, and the configuration is wrong or leaves the port open.
        StillStarting: A stack runs here and has not written its configuration yet.
    """
    if given is not None:
        return given.rstrip("/")
    api = settings_here().api
    if not api.port:
        msg = "api.port: expected the port of a running api, found 0, which stands for any; give --url"
        raise BadSettings(msg)
    return f"http://{url_host(_EVERY_ADDRESS.get(api.host, api.host))}:{api.port}"


def _is_locked(data_dir: Path) -> bool:
    try:
        with (data_dir / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # There is no such file, or it is another user's.
        return False
    return False
