"""Views of SYMMIO's accounts, as the api makes them."""

from __future__ import annotations

from models.symmio.venue import SYMMIO
from models.views import AccountViews

VIEWS = AccountViews(lambda _deployment: SYMMIO)
account_view, figures_view, positions_view = VIEWS.account, VIEWS.figures, VIEWS.positions
