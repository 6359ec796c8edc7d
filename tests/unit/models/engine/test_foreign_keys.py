"""Whoever folds records without Kafka refuses the keys that a worker refuses, and goes on."""

from __future__ import annotations

import pytest

from models.account_events import Final
from models.engine.deployment import EngineDeployment
from models.engine.in_memory import Engine
from models.engine.tables import ACCOUNTS
from models.errors import BadRecord
from models.ledger.ledger_venue import LEDGER
from models.venue import ToldAt
from tests.support.ledger import record

OWN = b"desk:ann"
OPENED = record("account_opened", 1, owner="ann")


def engine() -> Engine:
    return Engine({"desk": EngineDeployment(LEDGER, None)})


@pytest.mark.parametrize("foreign", [b"desk:\xff", b"\xff", b"", b"desk", b"desk:"])
def test_a_record_of_no_account_is_refused_and_the_next_one_folded(foreign: bytes) -> None:
    made = engine()
    for key in (foreign, OWN):
        made.account_record(key, LEDGER.decode(OPENED, (1, -1)))
    made.fold(LEDGER.kind)

    assert [OWN] == [key for key, _ in made.tables.items(ACCOUNTS)]
    assert ["expected a key of accounts"] == [one[:26] for one in made.refused]


@pytest.mark.parametrize("foreign", [b"desk:\xff", b"\xff", b"", b"desk:0"])
def test_what_is_said_of_no_deployment_is_refused(foreign: bytes) -> None:
    made = engine()
    made.account_record(foreign, Final((1, -1), 5, 5, 5))

    assert ["expected a key of deployments"] == [one[:29] for one in made.refused]


@pytest.mark.parametrize("foreign", [b"desk:\xff", b"\xff", b"", b"desk"])
def test_neither_references_nor_what_is_told_may_have_such_keys(foreign: bytes) -> None:
    made = engine()
    with pytest.raises(BadRecord, match="expected a key of references"):
        made.reference(foreign, b"{}", 0)
    with pytest.raises(BadRecord, match="expected a key of accounts"):
        made.told(foreign, b"{}", ToldAt(0, 0, 0), 0)
