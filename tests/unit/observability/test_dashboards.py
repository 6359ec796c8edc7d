"""Every panel's query names metrics and labels that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.promql import ADDED_LABELS, FOREIGN, documented, labels_in, metrics_in

ROOT = Path(__file__).parents[3]
BOARDS = sorted((ROOT / "k8s" / "components" / "monitoring" / "dashboards").glob("*.json"))
PANELS = [(board.stem, panel) for board in BOARDS for panel in json.loads(board.read_text())["panels"]]
RULES = yaml.safe_load((ROOT / "docker" / "prometheus" / "rules.yaml").read_text())
RECORDED = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=[f"{board}: {panel['title']}" for board, panel in PANELS])
def test_a_panel_asks_for_what_there_is(board: str, panel: dict[str, Any]) -> None:
    del board
    expressions = [target["expr"] for target in panel["targets"]]

    assert expressions
    for expression in expressions:
        assert metrics_in(expression)
        assert metrics_in(expression) <= documented().keys() | RECORDED | FOREIGN
        for name, labels in labels_in(expression).items():
            assert name not in documented() or labels <= documented()[name] | ADDED_LABELS


def test_boards_and_panels_have_ids_of_their_own() -> None:
    boards = [json.loads(board.read_text()) for board in BOARDS]

    assert [board.stem for board in BOARDS] == [board["uid"] for board in boards]
    for board in boards:
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
