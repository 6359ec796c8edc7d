from __future__ import annotations

import asyncio
from collections import Counter

from api.tables.turns import next_turn

WORKERS, PIECES = 5, 20


async def test_one_piece_is_done_in_a_turn_of_the_loop_however_many_work_and_all_come_on() -> None:
    loop = asyncio.get_running_loop()
    turn = 0
    pieces: Counter[int] = Counter()
    order: list[int] = []

    def count() -> None:
        nonlocal turn
        turn += 1
        if len(order) < WORKERS * PIECES:
            loop.call_soon(count)

    async def work(number: int) -> None:
        for _ in range(PIECES):
            await next_turn()
            pieces[turn] += 1
            order.append(number)

    count()
    await asyncio.gather(*(work(number) for number in range(WORKERS)))

    assert 1 == max(pieces.values())
    assert all(set(range(WORKERS)) == set(order[at : at + WORKERS]) for at in range(0, len(order), WORKERS))


async def test_a_worker_that_is_cancelled_while_it_waits_does_not_hold_up_the_others() -> None:
    waiting = [asyncio.create_task(next_turn()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    async with asyncio.timeout(20):
        await waiting[2]
        await next_turn()


def test_each_loop_has_turns_of_its_own() -> None:
    for _ in range(2):
        asyncio.run(next_turn())
