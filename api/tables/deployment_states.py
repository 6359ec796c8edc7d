"""What is said of the state of each deployment, whoever says it: how far it is known, and whether that may be old."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.tables.deployment_heads import known_progress
from models.instants import ns_text, rfc3339

if TYPE_CHECKING:
    from api.tables.deployment_heads import DeploymentProgress
    from api.tables.feeds import Feeds
    from api.tables.freshness import Freshness
    from models.views import View
    from streams.settings import Settings


def deployment_states(settings: Settings, feeds: Feeds, freshness: Freshness) -> dict[str, View]:
    """Make the view of each deployment's state, as ``DeploymentStatus`` of openapi.yaml describes it, by name.

    Args:
        settings: Which deployments there are.
        feeds: The tables.
        freshness: Tells of which deployments something may be old.
    """
    views: dict[str, View] = {}
    for name, one in settings.deployments.items():
        unsure = freshness.why_unsure(name)
        if not one.is_installed:
            views[name] = {"status": "unknown", "reason": unsure}
            continue
        status = "followed" if unsure is None else "stale"
        if one.says_heads:
            views[name] = _with_heads(status, known_progress(feeds, name, settings.topics.partitions))
        else:
            # Its accounts are those that records name, and there is no head to say.
            views[name] = {"status": status}
    return views


def _with_heads(status: str, progress: DeploymentProgress | None) -> View:
    if progress is None:
        return {"status": "unknown"}
    head_time_ms = progress.head_time_s * 1_000
    view: View = {
        "status": status,
        "head": progress.head,
        "head_time": rfc3339(head_time_ms),
        "head_time_ns": ns_text(head_time_ms),
        "final": progress.final,
    }
    if progress.folded_head is not None:
        view["folded_head"] = progress.folded_head
    if progress.unsupported_since is not None:
        view |= {
            "status": "unsupported",
            "unsupported_since": progress.unsupported_since,
            "unsupported_reason": progress.unsupported_reason,
        }
    return view
