"""Whether storms are played whole (``make storms``), or as short as the run of every change has time for."""

from __future__ import annotations

import os

WHOLE = os.environ.get("TIDEMARK_TEST_WHOLE") == "1"
