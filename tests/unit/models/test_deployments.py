from __future__ import annotations

from models.codec import encode_row
from models.deployments import DeploymentState, decode_deployment, encode_deployment

AT_THE_CUT = (10, 3)


def with_gap() -> DeploymentState:
    return DeploymentState().begin(2, 400).unsupported(AT_THE_CUT, 500, "DiamondCut")


def test_what_stands_behind_the_unsupported_log_is_not_routed_and_its_own_block_is() -> None:
    state = with_gap()

    assert state.supported_at((10, 0))
    assert not state.supported_at((11, 0))


def test_a_join_closes_the_gap_for_what_follows_and_not_for_what_it_skipped() -> None:
    state = with_gap().joined((20, -1))

    assert state.open_gap is None
    assert not state.supported_at((15, 0))
    assert state.supported_at((21, 0))


def test_a_rollback_below_the_unsupported_block_closes_the_gap() -> None:
    state = with_gap()

    assert state.gap_above(499, (12, -1))
    assert state.rolled_back(499, (12, -1)).open_gap is None
    assert state.rolled_back(500, (12, -1)).open_gap is not None


def test_what_is_redelivered_is_seen_as_it_stood_then() -> None:
    state = with_gap().rolled_back(499, (12, -1))

    assert state.gap_above(499, (12, -1))
    assert not state.gap_above(499, (13, -1))
    assert state == state.unsupported(AT_THE_CUT, 500, "DiamondCut")
    assert not state.begun_before(2)
    assert state.begun_before(3)


def test_finality_never_falls_with_the_head() -> None:
    state = DeploymentState().watermark(100, 1, 90).watermark(98, 2, 88)

    assert (98, 90) == (state.head, state.final)


def test_a_state_survives_its_row() -> None:
    state = with_gap().watermark(510, 1_700, 446).rolled_back(499, (12, -1)).at((13, -1))

    assert state == decode_deployment(encode_row(1, 1, encode_deployment(state)))


def test_a_deployment_that_began_in_a_block_which_left_the_chain_has_not_begun() -> None:
    """Else the DiamondCut that the surviving branch is constructed with would be one that is not supported."""
    begun = DeploymentState().begin(2, 400)

    assert begun == begun.rolled_back(400, (3, -1))
    assert DeploymentState() == begun.rolled_back(399, (3, -1))
    assert 5 == begun.rolled_back(399, (3, -1)).begin(5, 401).begun_at


def test_a_beginning_that_is_final_is_kept_and_its_block_forgotten() -> None:
    begun = DeploymentState().begin(2, 400).watermark(410, 1, 399)
    final = begun.watermark(411, 2, 400)

    assert (400, None) == (begun.begun_block, final.begun_block)
    assert final == final.rolled_back(399, (9, -1))
    assert [begun, final] == [decode_deployment(encode_row(1, 1, encode_deployment(state))) for state in (begun, final)]
