from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from streams.process.garbage import collecting_rarely

if TYPE_CHECKING:
    from collections.abc import Iterator

BEFORE = (701, 11, 12)


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    found = gc.get_threshold()
    gc.set_threshold(*BEFORE)
    # pytest has set aside what it has imported.
    gc.unfreeze()
    yield
    gc.freeze()
    gc.set_threshold(*found)


def test_cycles_are_looked_for_rarely_within_the_block_and_as_before_behind_it() -> None:
    with collecting_rarely():
        assert gc.get_threshold()[0] > BEFORE[0]
        assert gc.get_freeze_count() > 0

    assert (*BEFORE, 0) == (*gc.get_threshold(), gc.get_freeze_count())


def test_cycles_are_looked_for_as_before_where_the_block_ends_by_an_error() -> None:
    with pytest.raises(KeyError), collecting_rarely():
        raise KeyError

    assert BEFORE == gc.get_threshold()


def test_what_a_process_has_set_aside_before_stays_so() -> None:
    gc.freeze()
    with collecting_rarely():
        pass

    assert gc.get_freeze_count() > 0
