"""Report the budget to a health check: as this process knows it, without a request."""

from __future__ import annotations

from typing import Any

from ... import BlockStore, WaitReason

__all__ = ["budget_report"]


def budget_report(store: BlockStore) -> dict[str, Any]:
    """Return the budget as plain data, ready for JSON.

    `status` is `paused` while the API has asked to wait, `exhausted` while no request can be
    sent at once, else `ok`. None of them means that the process is unhealthy: a restart frees no
    budget, so a health check returns 200 with any of them. It names no other process: the page of
    a health check is often public.
    """
    quota = store.quota
    if quota.paused_for_s > 0 or quota.probing:
        status = "paused"
    else:
        status = "ok" if quota.remaining else "exhausted"
    return {
        "status": status,
        "remaining": quota.remaining,
        "available_in_s": round(quota.available_in_s, 3),
        "reason": quota.reason,
        "background": {
            "available_in_s": round(quota.background_available_in_s, 3),
            "reason": quota.background_reason,
        },
        "explanation": _explanation(store.explain(background=False)),
        "paused_for_s": round(quota.paused_for_s, 3),
        "in_flight": quota.in_flight,
        "waiting": {
            "interactive": quota.waiting - quota.waiting_background,
            "background": quota.waiting_background,
        },
        "windows": [
            {
                "seconds": window.length_s,
                "limit": window.limit,
                "used": window.used,
                "used_by_others": window.used_by_others,
                "remaining": window.remaining,
            }
            for window in quota.windows
        ],
    }


def _explanation(why: WaitReason) -> str:
    # The text of a turn names the hosts and processes that go first.
    if why.kind == "turn":
        return f"it is the turn of other processes; it could be sent in {why.wait_s:.1f} s"
    return why.text
