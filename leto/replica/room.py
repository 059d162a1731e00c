"""How much room the disks have, and what follows: told of while there is enough, refused before there is none.

Each node looks at its own disk. Where less than `min_free` is left it is low: it keeps nothing of the log for others,
and takes a snapshot whenever one may give room back. A leader refuses writes that add data (Redis's flag denyoom)
while its own disk is low, or those of so many voters that no quorum has room: it asks them for their status. What
takes little and may give room back goes on: deletions, expiry, changes of members.

A voter that is low while a quorum is not goes on as well: to refuse would let the smallest disk decide for all. When it
has no room left for the log it ends, as on any failure of its disk, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from leto.errors import DiskFull, LetoError, StorageError
from leto.interfaces.store import DiskSpace, Store
from leto.keyspace.admission import may_grow
from leto.raft.node import Node
from leto.raft.quorum import agreed
from leto.raft.state import Role
from leto.replica.timers import LazyTimer
from leto.vocabulary.registry import KEYSPACE

LOOK_SECONDS = 1.0  # between two looks at the own disk ...
LOOK_BYTES = 16 << 20  # ... or as much of the log, ...
LOOK_SHARE = 8  # ... or as such a part of min_free, if that is less
ASK_SECONDS = 5.0  # between two questions to the voters how their disks are, while all are well
WARN_SHARE = 2  # times min_free: with less than that left, the log says so
CALM_SHARE = 8  # a part of min_free: so much more must be free before a disk counts as better again
BOUNDLESS = 1 << 62
OK, WARNING, LOW = "ok", "warning", "low"


class Snapshots(Protocol):
    """leto.replica.compaction.Compaction, as far as it matters here."""

    is_low: bool

    @property
    def may_help(self) -> bool: ...


class Room:
    """One node's view. `refusal`: why writes that add data are refused now; empty while they are not. `spare`: how many
    bytes of writes may be on their way without making a disk low that is not.

    Its owner counts what comes to the log in `unseen_bytes`, and calls look() once they are `look_bytes` or more.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        node: Node,
        store: Store,
        snapshots: Snapshots,
        *,
        ask: Callable[[str], Deferred[Mapping[str, Any]]],
        take_snapshot: Callable[[], object],
        changed: Callable[[str, int], object],
    ) -> None:
        """`ask(peer)` gives that member's own status (leto.status.status_data). `changed` is given each new `refusal`
        and `spare`."""
        self._clock = clock
        self._node = node
        self._store = store
        self._snapshots = snapshots
        self._ask = ask
        self._take_snapshot = take_snapshot
        self._changed = changed
        self._timer = LazyTimer(clock, self._look_again)
        self.unseen_bytes = 0  # that came to the log since the last look
        self.look_bytes = LOOK_BYTES
        self._ask_at = 0.0
        self._others: dict[str, tuple[str, int]] = {}  # state and spare bytes; who did not say is taken to have room
        self._is_blind = False
        self.space = DiskSpace(0, 0, 0)
        self.state = OK
        self.refusal = ""
        self.spare = BOUNDLESS

    def start(self) -> None:
        self._look_again()

    def stop(self) -> None:
        self._timer.cancel()

    def refuse(self, requests: bytes) -> DiskFull | None:
        """Why these must not be appended now, if so. Costs a look at each of them: ask while there is a `refusal`."""
        return DiskFull(self.refusal) if self.refusal and may_grow(requests, KEYSPACE) else None

    def leadership_changed(self) -> None:
        self._others.clear()
        self._ask_at = 0.0
        self._decide()

    def _look_again(self) -> None:
        self._timer.expect(self._clock.seconds() + LOOK_SECONDS)
        if self._node.role is Role.LEADER and self._clock.seconds() >= self._ask_at:
            is_urgent = self.state != OK or any(state != OK for state, _ in self._others.values())
            self._ask_at = self._clock.seconds() + (LOOK_SECONDS if is_urgent else ASK_SECONDS)
            self._ask_others()
        self.look()

    # the own disk -------------------------------------------------------------------------------------

    def look(self) -> None:
        """See how much is left."""
        self.unseen_bytes = 0
        try:
            self.space = self._store.space()
            self._is_blind = False
            if self.space.min_free:
                self.look_bytes = min(LOOK_BYTES, self.space.min_free // LOOK_SHARE)
        except StorageError as error:
            if not self._is_blind:
                self._is_blind = True
                self.log.error("{error}; what it was last is taken to be so still", error=error)
        state = _state(self.space, self.state)
        if state != self.state:
            self.state = state
            self._snapshots.is_low = state == LOW
            self._say()
        self._decide()
        if state == LOW and self._snapshots.may_help:
            self._take_snapshot()

    def _say(self) -> None:
        words = _in_words(self.space)
        if self.state == LOW:
            self.log.error(
                "the disk has {free} of {total} left, less than {least} (min-free-bytes): this node, if it leads, "
                "refuses writes that add data; make room, or delete data: the next snapshot gives its room back",
                **words,
            )
        elif self.state == WARNING:
            self.log.warn(
                "the disk has {free} of {total} left: with less than {least} (min-free-bytes) this node, if it leads, "
                "refuses writes that add data",
                **words,
            )
        else:
            self.log.info("the disk has {free} of {total} left, which is enough again", **words)

    # the others' ----------------------------------------------------------------------------------------

    def _ask_others(self) -> None:
        configuration = self._node.configuration
        for voter in sorted({*configuration.voter_ids(), *configuration.outgoing_ids()} - {self._node.id}):
            self._ask(voter).addCallback(self._heard, voter).addErrback(self._not_heard, voter)

    def _heard(self, status: Mapping[str, Any], voter: str) -> None:
        state = str(status.get("disk_state", OK))  # an older version tells nothing of it
        spare = int(status["disk_free"]) - int(status["disk_min_free"]) if status.get("disk_min_free") else BOUNDLESS
        if state == LOW and self._state_of(voter) != LOW:
            self.log.warn("the disk of {voter} is low", voter=voter)
        self._others[voter] = state, spare
        self._decide()

    def _not_heard(self, reason: Failure, voter: str) -> None:
        reason.trap(ConnectionError, TimeoutError, LetoError, msgspec.DecodeError, KeyError, TypeError, ValueError)
        self._others.pop(voter, None)
        self._decide()

    def _state_of(self, voter: str) -> str:
        return self._others[voter][0] if voter in self._others else OK

    # what follows -------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        refusal = ""
        if self._node.role is Role.LEADER:
            if self.state == LOW:
                refusal = (
                    "the leader's disk has {free} left, less than min-free-bytes ({least})".format(
                        **_in_words(self.space)
                    )
                    + _GOES_ON
                )
            elif not self._quorum_has_room():
                low = sorted(voter for voter in self._others if self._state_of(voter) == LOW)
                refusal = f"too many voters' disks are low ({', '.join(low)})" + _GOES_ON
        spares = [spare for state, spare in self._others.values() if state != LOW]
        if self.space.min_free:
            spares.append(self.space.free - self.space.min_free)
        spare = max(min(spares, default=BOUNDLESS), self.look_bytes)  # some must always be
        if (refusal, spare) != (self.refusal, self.spare):
            self.refusal, self.spare = refusal, spare
            self._changed(refusal, spare)

    def _quorum_has_room(self) -> bool:
        configuration = self._node.configuration
        voters, outgoing = configuration.voter_ids(), configuration.outgoing_ids()
        if not voters and not outgoing:
            return True
        return agreed(voters, outgoing, lambda voter: int(self._state_of(voter) != LOW)) == 1


_GOES_ON = ": writes that add data are refused; reads, DEL, UNLINK, EXPIRE and FLUSHALL go on"


def _state(space: DiskSpace, before: str) -> str:
    least = space.min_free
    calm = least // CALM_SHARE
    if space.free < least + (calm if before == LOW else 0):
        return LOW
    if space.free < WARN_SHARE * least + (calm if before != OK else 0):
        return WARNING
    return OK


def _in_words(space: DiskSpace) -> dict[str, str]:
    return {"free": _human(space.free), "total": _human(space.total), "least": _human(space.min_free)}


def _human(size: int) -> str:
    """Bytes for people, in whole units of the largest kind that leaves two digits."""
    for unit, each in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if size >= 10 * each:
            return f"{size // each} {unit}"
    return f"{size} bytes"
