"""How large a column may be that a package says: what is beyond was said by a fault, and neither stored nor summed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from models.row_bodies import E18, Amount

# Of as many digits as the largest float has at 1e18; core makes integers of them, and Python takes 4,300 digits.
DIGITS_MAX = 340

BoundedE18 = Annotated[E18, Meta(max_length=DIGITS_MAX)]
BoundedAmount = Annotated[Amount, Meta(max_length=DIGITS_MAX)]
# Becomes a part of the keys of sums, and of answers that have bounds of their own.
Word = Annotated[str, Meta(max_length=128)]
BoundedId = Annotated[int | Word, Meta(description="A number, or a text that is none.")]
