"""`python -m leto.storage.dump <directory>`: print a node's data directory readably.

Works on a stopped or a running node, on a copy, on a damaged one: it takes no lock, changes nothing, and goes on
after damage as far as it can. Exit status 0, or 1 if anything was damaged or missing.
"""

from __future__ import annotations

import argparse
import os.path
import sys
from collections.abc import Iterator

from leto.errors import StorageError
from leto.raft.configuration import decode as decode_configuration
from leto.raft.messages import EntryKind
from leto.storage import hard_state, identity, records, watermark
from leto.storage.disk import Disk, RealDisk, describe
from leto.storage.layout import LOG, SNAPSHOTS
from leto.storage.recovery import segment_names
from leto.storage.segments import decode_header, scan
from leto.storage.snapshot_file import RECEIVED, SnapshotReader
from leto.storage.snapshots import COMPLETE, SNAPSHOT, parse_name

_BATCH_HEADER, _PAIRS = 13, 2  # leto.keyspace.batch: the format begins it, the count of requests ends it


def dump(disk: Disk, directory: str, width: int) -> Iterator[tuple[str, bool]]:
    """(line, whether it tells of damage) for everything in the directory; `width` bytes of each payload."""
    for name, show in (
        (identity.NAME, _identity),
        (hard_state.NAME, _hard_state),
        (watermark.NAME, _watermark),
    ):
        path = os.path.join(directory, name)
        try:
            yield f"{name}: {show(disk, path)}", False
        except StorageError as error:
            yield f"{name}: DAMAGED: {error}", True
        except OSError as error:
            yield f"{name}: {describe(error, 'read')}", True
    yield from _snapshots(disk, os.path.join(directory, SNAPSHOTS))
    yield from _log(disk, os.path.join(directory, LOG), width)


def _identity(disk: Disk, path: str) -> str:
    found = identity.decode(disk.open(path, writable=False).read_at(0, 4096), path)
    return f"cluster {found.cluster_id}, server {found.server_id}"


def _hard_state(disk: Disk, path: str) -> str:
    copy, stale = hard_state.read(disk.open(path, writable=False), None)
    note = f"; copy {stale[0]} is torn or damaged" if stale else ""
    return f"term {copy.state.term}, vote {copy.state.vote or '(none)'}, version {copy.version}{note}"


def _watermark(disk: Disk, path: str) -> str:
    _, _, mark = watermark.read(disk.open(path, writable=False), None)
    return f"durable up to record {mark.records}, entry {mark.index}; commit at least {mark.commit}"


def _snapshots(disk: Disk, directory: str) -> Iterator[tuple[str, bool]]:
    for name in disk.names(directory):
        if not (parse_name(name, SNAPSHOT) or parse_name(name, COMPLETE)):
            yield f"{os.path.basename(directory)}/{name}: unfinished, or set aside", False
            continue
        path = os.path.join(directory, name)
        try:
            reader = SnapshotReader(disk.open(path, writable=False), None)
            reader.verify()
            members = " ".join(reader.meta.configuration.ids())
            origin = "received" if reader.header.origin == RECEIVED else "own"
            yield (
                (
                    f"{os.path.basename(directory)}/{name}: entry {reader.meta.index}, term {reader.meta.term},"
                    f" {reader.size} bytes, {origin}, members {members}"
                ),
                False,
            )
        except StorageError as error:
            yield f"{os.path.basename(directory)}/{name}: DAMAGED: {error}", True
        except OSError as error:
            yield str(describe(error, "read")), True


def _log(disk: Disk, directory: str, width: int) -> Iterator[tuple[str, bool]]:
    last = 0
    for sequence, name in segment_names(disk, directory):
        path = os.path.join(directory, name)
        try:
            file = disk.open(path, writable=False)
            data = file.read_at(0, file.size())
            header = decode_header(data, path, None, sequence)
        except StorageError as error:
            yield f"{name}: DAMAGED: {error}", True
            continue
        except OSError as error:
            yield str(describe(error, "read")), True
            continue
        reset = ", after a snapshot that replaced the log before it" if header.reset else ""
        yield f"{name}: from entry {header.first_index}, {header.records_before} records before it{reset}", False
        found = scan(data, header)
        if header.reset or not last:
            last = header.first_index - 1
        for offset, record in found.found:
            cut = f"  replaces {record.index} to {last}" if record.index <= last else ""
            last = record.index
            start = offset + records.HEADER_BYTES
            payload = data[start : start + record.length]
            yield (
                (
                    f"{record.index:>12}  term {record.term:<6} {_kind(record.kind):<13} {record.length:>9} bytes"
                    f"  at {offset:<10} {_words(record.kind, payload, width)}{cut}"
                ),
                False,
            )
        if found.damage is not None:
            yield f"{name}: DAMAGED at offset {found.end}: {found.damage.reason}", True


def _kind(kind: int) -> str:
    try:
        return EntryKind(kind).name.lower()
    except ValueError:
        return f"kind {kind}"


def _words(kind: int, payload: bytes, width: int) -> str:
    if kind == EntryKind.CONFIGURATION:
        try:
            found = decode_configuration(payload)
        except ValueError as error:
            return f"({error})"
        voters = [f"{member.id}@{member.address}{'' if member.voter else ' (learner)'}" for member in found.members]
        leaving = [f"{member.id} (outgoing)" for member in found.outgoing]
        return ", ".join(voters + leaving)
    count = ""
    if kind == EntryKind.COMMAND and len(payload) >= _BATCH_HEADER:
        what = "SETs" if payload[0] == _PAIRS else "requests"
        count = f"{int.from_bytes(payload[9:13], 'big')} {what}: "
        payload = payload[_BATCH_HEADER:]
    text = "".join(
        chr(byte) if 32 <= byte < 127 else " " if byte in b"\r\n" else f"\\x{byte:02x}" for byte in payload[:width]
    )
    return count + text.replace("  ", " ") + ("..." if len(payload) > width else "")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m leto.storage.dump", description="Print a Leto data directory. Changes nothing, takes no lock."
    )
    parser.add_argument("directory")
    parser.add_argument("--bytes", type=int, default=60, metavar="N", help="of each entry's payload (default 60)")
    options = parser.parse_args(arguments)
    directory = os.path.abspath(options.directory)
    if not os.path.isdir(directory):
        print(f"{directory} is no directory", file=sys.stderr)  # noqa: T201 - a command line tool
        return 1
    status = 0
    try:
        for line, damaged in dump(RealDisk(), directory, max(0, options.bytes)):
            print(line)  # noqa: T201 - a command line tool
            status |= damaged
    except BrokenPipeError:
        sys.stderr.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
