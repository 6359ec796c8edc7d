"""What `tidemark doctor` makes of a check that does not end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from models.findings import Verdict
from tidemark.commands.doctor import _checked

if TYPE_CHECKING:
    from models.findings import Finding


async def test_a_check_that_nobody_answers_is_given_up_and_told_as_not_known() -> None:
    async def never() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    (found,) = await _checked("parts", never, within_s=0.01)

    assert (Verdict.UNKNOWN, "nobody answered in time") == (found.verdict, found.found)
