"""What the keyspace is to the replica and to the edges: a deterministic state machine, and its snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from leto.raft.messages import Entry

if TYPE_CHECKING:
    from leto.keyspace.effects import Applied, Kind
    from leto.vocabulary.replies import Reply
    from leto.vocabulary.steps import Steps


class SnapshotWriter(Protocol):
    """One instant of the keyspace, in slices, while it goes on changing."""

    def next_slice(self, max_bytes: int) -> bytes:
        """About max_bytes more of it; b"" when complete."""

    def close(self) -> None:
        """Done or given up: the keyspace stops keeping old values for it."""


class StateMachine(Protocol):
    """The deterministic database. Same entries in, same state and replies out, on every node."""

    on_fault: Callable[[bytes, Exception], None]  # told of a command's name, and what it raised and must not
    seconds: Callable[[], float]  # measures what the commands of a transaction take
    applied: int  # index of the last applied entry
    time_ms: int  # log time: the highest stamp applied
    level: int  # the cluster's, set as entries are applied
    understands: int  # this version's own

    @property
    def took(self) -> Mapping[int, Sequence[float]]:
        """Seconds of each command of the transactions of the entry that was applied last, by the place of the
        transaction's reply among the entry's replies. Of the entries that hold a transaction, that is."""

    def apply(self, entry: Entry) -> Applied:
        """Apply a COMMAND entry: one reply a request of the batch. Other kinds only move `applied`; no replies.
        Raises InapplicableEntry or UnknownEntry, nothing changed, for one that cannot be applied."""

    def skip(self, index: int) -> None:
        """Pass over the entry at `index`, which is no batch, whatever reads it."""

    def begin(self, entry: Entry) -> Applied | None:
        """apply(), or its first step: None if more are to come. The state is half an entry's then, which nobody may
        read; a snapshot being taken may go on."""

    def go_on(self) -> Applied | None:
        """The next step of the entry that was begun: what it did after the last one."""

    def watch(self, what: Kind | bytes) -> None:
        """Have effects of that kind, or the changes of that key, told from the next entry on: until unwatch() was
        called as often. Nothing is noted of what nobody watches."""

    def unwatch(self, what: Kind | bytes) -> None:
        """See watch(). Raises KeyError for what nobody watches."""

    @property
    def is_whole(self) -> bool:
        """Whether no entry is begun and not yet applied to its end."""

    def query(self, command: Sequence[bytes], clock_ms: int) -> Reply:
        """Run one read-only command now, judging expiry by max(time_ms, clock_ms)."""

    def query_transaction(
        self, commands: Sequence[Sequence[bytes]], watched: Mapping[bytes, int], clock_ms: int
    ) -> Reply:
        """A MULTI/EXEC of reads alone, at one instant; None (aborted) if a watched key changed after its index."""

    def begin_query(self, command: Sequence[bytes], clock_ms: int) -> Reply | Steps:
        """query(), or the steps of one that takes long."""

    def begin_query_transaction(
        self, commands: Sequence[Sequence[bytes]], watched: Mapping[bytes, int], clock_ms: int, took: list[float]
    ) -> Reply | Steps:
        """query_transaction(), or the steps of one that takes long."""

    def why_refused(self, reads: Iterable[Sequence[bytes]]) -> str:
        """Why a transaction with these reads would cost too much as the keyspace is; "" if it would not."""

    def expired(self, clock_ms: int, limit: int) -> bytes | None:
        """The packed internal command that deletes up to `limit` keys expired by clock_ms; None if there are none."""

    def size_of(self, key: bytes, clock_ms: int | None = None) -> int | None:
        """Estimated bytes of memory that the key takes, None when it is missing. Expiry is judged as by query();
        without `clock_ms` as by the query before."""

    @property
    def key_count(self) -> int:
        """Keys, expired ones that are not deleted yet included."""

    @property
    def volatile_count(self) -> int:
        """Those of them that have an expiry."""

    def digest(self) -> tuple[int, int]:
        """(index, 64-bit digest of the whole state at it)."""

    def snapshot(self) -> SnapshotWriter:
        """Begin one. Only one at a time."""

    def restoring(self, chunks: Iterable[bytes], index: int) -> Iterator[None]:
        """Replace the whole state by a snapshot's payload, step by step: until the last step, which does it at once,
        the old state serves on. Raises CorruptStorage, the old state left as it is."""

    @property
    def has_waste(self) -> bool:
        """Whether something that it needs no more waits to be freed (the state of before FLUSHALL, or a snapshot)."""

    def free_waste(self, count: int) -> bool:
        """Free about `count` objects of it; False if there was nothing, or a snapshot being taken may need it."""
