"""What happened to an account, as its readers are told: one entry for each change, in the order of the records.

Each is a mapping of ``kind``, ``seq``, ``time_ms`` and ``cause`` of the record that did it, and of the whole object under
the name of what it is: ``{"kind": "position_closed", "seq": 7, "time_ms": 1, "cause": "trade 9", "position": {…}}``.

| kinds | object |
|---|---|
| ``account_opened`` | ``owner`` |
| ``wallet_changed`` | ``wallet``: also of one that was not there; one that a snapshot left out has a balance of 0 |
| ``position_opened``, ``position_changed``, ``position_closed`` | ``position``; of one that was closed its amount is 0 |
| ``order_opened``, ``order_changed``, ``order_closed`` | ``order``; the same for ``offer``, ``credit`` and ``loan`` |
| ``notified`` | ``notice`` |
| ``account_doubted``, ``account_restored`` | ``suspect``: why figures are unknown from now on; null, they are known again |

A snapshot makes the entries of what it changed: closed ones first, then those that are new or other than before.
"""

from __future__ import annotations

from typing import Any

Happening = dict[str, Any]
