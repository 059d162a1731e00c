"""Term and vote on disk: two copies in one file, written and synced one after the other.

`leto.hard-state` has 8192 bytes; a copy of 512 bytes stands at offset 0 and another at 4096. Each, little-endian:

     0  8s   magic "LETOVOTE"
     8  u16  format, 1
    10  u16  length of the vote, 0 to 256
    12  u32  zero
    16  16s  cluster id
    32  8s   tag of the server
    40  u64  version: grows by one with every change
    48  u64  term
    56  u64  commit
    64       the vote in UTF-8, zeros to byte 507
   508  u32  CRC-32 of bytes 0-507

A change writes copy 0, syncs, writes copy 1, syncs, and only then counts. So whatever happens to one copy, a crash
in mid-write or a sector that rots, the other holds either the last state that counted or a newer one that nobody
has been told of: damage can never take a vote back. Both damaged: Leto refuses to start. The file never grows:
there is room for term and vote on a full disk.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from leto.checksums import crc32
from leto.errors import CorruptStorage, ForeignDirectory, StorageError
from leto.raft.messages import HardState
from leto.storage.disk import File
from leto.storage.faultpoints import reach
from leto.storage.identity import Owner, check_server_id

NAME = "leto.hard-state"
MAGIC = b"LETOVOTE"
FORMAT = 1
COPY_BYTES = 512
OFFSETS = (0, 4096)
FILE_BYTES = 8192
_FIELDS = struct.Struct("<8sHHI16s8sQQQ")
_CRC = struct.Struct("<I")
_MAX_VOTE = 256
_LIMIT = 1 << 63
RESTORE = (
    "this node may have voted, so it must not start without it: restore the file, or move the whole data directory"
    " away and start the node with --join: it joins its cluster anew"
)


class Copy(NamedTuple):
    version: int
    state: HardState


def encode(owner: Owner, version: int, state: HardState) -> bytes:
    """Raises StorageError for a vote that is no server id."""
    vote = check_server_id(state.vote) if state.vote else b""
    fields = _FIELDS.pack(MAGIC, FORMAT, len(vote), 0, owner.cluster, owner.server, version, state.term, state.commit)
    body = (fields + vote).ljust(COPY_BYTES - _CRC.size, b"\0")
    return body + _CRC.pack(crc32(body))


def decode(data: bytes, path: str, owner: Owner | None) -> Copy | None:
    """One copy; None if it is damaged. Raises ForeignDirectory for another node's (`owner` None: any)."""
    if len(data) != COPY_BYTES:
        return None
    body = data[: -_CRC.size]
    (crc,) = _CRC.unpack_from(data, len(body))
    magic, version_of_format, size, zero, cluster, server, version, term, commit = _FIELDS.unpack_from(data)
    if magic != MAGIC or crc32(body) != crc or zero or size > _MAX_VOTE:
        return None
    if version_of_format != FORMAT:
        raise CorruptStorage(f"{path}: hard state format {version_of_format} is unknown to this version of Leto")
    found = Owner(cluster, server)
    if owner is not None and found != owner:
        raise ForeignDirectory(f"{path}: this hard state belongs to {found.difference(owner)}; {RESTORE}")
    try:
        vote = body[_FIELDS.size : _FIELDS.size + size].decode()
    except UnicodeDecodeError:
        return None
    return Copy(version, HardState(term, vote, commit))


def read(file: File, owner: Owner | None) -> tuple[Copy, list[int]]:
    """The state in force, and which copies (0, 1) do not hold it. Raises CorruptStorage, ForeignDirectory."""
    path = file.path
    copies = [decode(file.read_at(offset, COPY_BYTES), path, owner) for offset in OFFSETS]
    first, second = copies
    if first is None and second is None:
        raise CorruptStorage(f"{path}: both copies of term and vote, at offsets 0 and 4096, are damaged; {RESTORE}")
    if first is None or second is None:
        current = first or second
        assert current is not None
        return current, [0 if first is None else 1]
    if first == second:
        return first, []
    if first.version != second.version + 1 or first.state.term < second.state.term:
        raise CorruptStorage(
            f"{path}: the copies of term and vote contradict each other: version {first.version} (term"
            f" {first.state.term}) at offset 0, version {second.version} (term {second.state.term}) at 4096; {RESTORE}"
        )
    return first, [1]  # a crash between the two writes


class HardStateFile:
    """The open file. `state` is what counts: the last one saved wholly."""

    def __init__(self, file: File, owner: Owner) -> None:
        self._file = file
        self._owner = owner
        current, stale = read(file, owner)
        self._version, self.state = current
        self.repaired = bool(stale)
        # Both are written again: a process that was killed, or whose sync failed, may have left them in the page cache
        # alone. A damaged one first, while the other is whole; else in save()'s order.
        data = encode(owner, self._version, self.state)
        is_second_damaged = 1 in stale and decode(file.read_at(OFFSETS[1], COPY_BYTES), file.path, owner) is None
        for copy in (1, 0) if is_second_damaged else (0, 1):
            self._write_copy(copy, data)

    def save(self, state: HardState) -> None:
        """Make term, vote and commit durable. Raises StorageError if it would take back a term or a vote; OSError."""
        old = self.state
        if state.term < old.term:
            raise StorageError(f"{self._file.path}: term {state.term} must not replace term {old.term}")
        if state.term == old.term and old.vote and state.vote != old.vote:
            raise StorageError(
                f"{self._file.path}: in term {old.term} the vote was for {old.vote!r} and must not become"
                f" {state.vote!r}"
            )
        if not (state.term < _LIMIT and 0 <= state.commit < _LIMIT):
            raise StorageError(f"{self._file.path}: term {state.term}, commit {state.commit} are beyond 2^63")
        data = encode(self._owner, self._version + 1, state)
        self._write_copy(0, data)
        self._write_copy(1, data)
        self._version += 1
        self.state = state

    def _write_copy(self, copy: int, data: bytes) -> None:
        name = "second" if copy else "first"
        self._file.write_at(OFFSETS[copy], [data])
        reach(f"hard-state.{name}-written")
        self._file.sync()
        reach(f"hard-state.{name}-synced")

    def close(self) -> None:
        self._file.close()


def initial(owner: Owner) -> bytes:
    """A new file's content: term 0, no vote."""
    copy = encode(owner, 1, HardState())
    return copy.ljust(OFFSETS[1], b"\0") + copy.ljust(FILE_BYTES - OFFSETS[1], b"\0")
