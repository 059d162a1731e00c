"""How keyspace requests that have come together become runs.

- Consecutive writes form one run, consecutive reads another.
- On the leader requests of which a read precedes a write go to the log whole, if the reads are cheap ones (flag fast):
  they are linearizable there, and need no wait in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from leto.clients.accounts import Tally
from leto.clients.runs import Client, MixedRun, ReadRun, Run, WriteRun
from leto.clients.table import READ, WRITE, Known
from leto.resp.codec import Request, pack
from leto.resp.strict import request_bytes

Group = Sequence[tuple[Request, Known]]


def runs_of(client: Client, group: Group) -> list[Run]:
    """The runs of `client` that carry out the requests, in their order; none are connection commands."""
    if not group:
        return []
    kinds = [known.kind for _, known in group]
    if READ in kinds and WRITE in kinds:
        first_read = kinds.index(READ)
        last_write = len(kinds) - 1 - kinds[::-1].index(WRITE)
        cheap = all(known.fast for _, known in group if known.kind == READ)
        if first_read < last_write and cheap and client.state.replica.is_leader:
            return [_write_run(client, group, MixedRun)]
    runs: list[Run] = []
    start = 0
    for end in range(1, len(group) + 1):
        if end == len(group) or kinds[end] != kinds[start]:
            part = group[start:end]
            runs.append(_write_run(client, part, WriteRun) if kinds[start] == WRITE else _read_run(client, part))
            start = end
    return runs


def _write_run(client: Client, group: Group, kind: type[WriteRun]) -> WriteRun:
    commands = [argv for argv, _ in group]
    return kind(client, commands, b"".join(map(pack, commands)), _tally(group))


def _read_run(client: Client, group: Group) -> ReadRun:
    commands = [argv for argv, _ in group]
    return ReadRun(client, commands, sum(map(request_bytes, commands)), _tally(group))


def _tally(group: Group) -> Tally:
    return list(Counter(known for _, known in group).items())
