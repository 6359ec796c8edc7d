"""What figures were made of is kept, by nobody's waiting for it."""

from __future__ import annotations

from api.delivery.inputs_writer import InputsWriter
from models.kept_inputs import FundingMade, KeptFunding, decode_kept
from tests.support.api import FakeRecords, serving
from tests.support.eventually import eventually
from tests.support.feed import FakeTables
from tests.support.rest import get
from tests.support.solver import NOW_MS, put_instrument, put_mark, put_market


def made(at_ms: int) -> FundingMade:
    return FundingMade(at_ms, "0.5", "0.01", is_scaled=True, markets={"BTCUSDT": KeptFunding(1, 7, "5", 3_600, None)})


async def test_records_are_written_in_their_order_under_the_deployments_key() -> None:
    records, counted = FakeRecords(), list[str]()
    writer = InputsWriter(records, 3, counted.append)
    for at_ms in range(3):
        writer.keep("main", made(at_ms))
    await eventually(lambda: len(counted) == 3)

    assert [(b":funding:main", made(at_ms)) for at_ms in range(3)] == [
        (key, decode_kept(row)) for key, row in records.kept
    ]
    assert ["written"] * 3 == counted
    await writer.stop()


async def test_while_the_broker_is_away_the_oldest_are_lost_and_counted_and_nobody_waits() -> None:
    records, counted = FakeRecords(), list[str]()
    records.is_down = True
    writer = InputsWriter(records, 3, counted.append)
    for at_ms in range(1_500):
        writer.keep("main", made(at_ms))
    assert ["lost"] * 500 == counted
    await eventually(lambda: len(counted) == 1_500)
    records.is_down = False
    writer.keep("main", made(5))
    await eventually(lambda: counted[-1] == "written")
    await writer.stop()


async def test_the_funding_of_a_second_is_kept_once_however_many_ask_for_it() -> None:
    tables, records = FakeTables("main"), FakeRecords()
    put_market(tables, 1, "BTCUSDT")
    put_mark(tables, "BTCUSDT", "100", rate="0.0001")
    put_instrument(tables, "BTCUSDT")
    async with serving(tables, records=records, clock_ms=lambda: NOW_MS) as client:
        for _ in range(3):
            assert 200 == (await get(client, "/v1/funding")).status
            async with client.get("/get_funding_info") as answer:
                assert 200 == answer.status
        await eventually(lambda: bool(records.kept))

    ((key, row),) = records.kept
    found = decode_kept(row)
    assert isinstance(found, FundingMade)
    assert (b":funding:main", NOW_MS) == (key, found.at_ms)
    assert str(10**14) == found.markets["BTCUSDT"].rate_e18
