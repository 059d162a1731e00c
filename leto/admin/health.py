"""Liveness and readiness: what an orchestrator asks a node.

Live means "do not restart me": the reactor turns (or nobody would answer) and the disk has not failed.
Ready means "send me clients": the node knows a leader that has a quorum, and holds what was committed when asked.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from leto.interfaces.replica import Replica, ReplicaStatus

CATCH_UP_WAIT = 1.0  # seconds that a readiness question waits for what was committed to be applied
CATCH_UP_POLL = 0.02  # seconds between two looks


def unready_reason(status: ReplicaStatus) -> str:
    """Why this node cannot serve clients (a sentence), apart from entries not yet applied; "" when it can."""
    if status.role == "removed":
        return "this node was removed from the cluster"
    if not status.configuration.members:
        return "this node has not joined a cluster yet"
    if not status.leader_id:
        return "no leader is known"
    if not status.has_quorum:
        return "the leader does not hear from a quorum" if status.role == "leader" else "the leader is not heard from"
    return ""


async def readiness(replica: Replica, reactor: Any) -> str:
    """ "" when this node can serve, else why not. Waits up to CATCH_UP_WAIT for entries committed but not applied, so
    that a node under load, always a few entries behind, does not flap."""
    status = replica.status()
    wanted = status.commit
    deadline = reactor.seconds() + CATCH_UP_WAIT
    while True:
        reason = unready_reason(status)
        if reason or status.applied >= wanted:
            return reason
        if reactor.seconds() >= deadline:
            return f"applied {status.applied} of {wanted} committed entries"
        await _pause(reactor, CATCH_UP_POLL)
        status = replica.status()


def _pause(reactor: Any, seconds: float) -> Deferred[None]:
    def cancel(_: Deferred[None]) -> None:
        call.cancel()

    pause: Deferred[None] = Deferred(cancel)
    call = reactor.callLater(seconds, pause.callback, None)
    return pause
