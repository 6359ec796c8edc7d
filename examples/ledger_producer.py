"""Tells Tidemark what an account of a ledger has: python ledger_producer.py http://127.0.0.1:8080 INGEST_KEY."""

import json
import sys
import time
from urllib.request import Request, urlopen

url, key = sys.argv[1:]
said: list[tuple[str, dict[str, object]]] = [
    ("account_opened", {"owner": "ann"}),
    ("wallet_set", {"wallet": {"type": "margin", "currency": "USD", "balance": "1000"}}),
    (
        "position_set",
        {"position": {"symbol": "tBTCUSD", "type": "margin", "id": 1, "amount": "0.1", "base_price": "90000"}},
    ),
]
head = {"v": 1, "time_ms": time.time_ns() // 1_000_000, "cause": "example"}
events = [
    {"account": "ann", "event": {**head, "kind": kind, "seq": seq, **what}} for seq, (kind, what) in enumerate(said, 1)
]
request = Request(f"{url}/ingest/ledger-events", json.dumps(events).encode(), {"Authorization": f"Bearer {key}"})
print(urlopen(request).read().decode())
