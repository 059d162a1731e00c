"""A client in one line: CLIENT LIST's, and what the log says of one that is closed."""

from __future__ import annotations

from leto.clients.identity import Identity
from leto.clients.queue import RunQueue
from leto.clients.transaction import Transaction, Watch
from leto.resp.codec import RequestReader


def describe(
    identity: Identity,
    queue: RunQueue,
    reader: RequestReader,
    transaction: Transaction | None,
    watch: Watch,
    *,
    now: float,
    last_active: float,
    no_evict: bool,
    no_touch: bool,
    kept_bytes: int,
    last_command: str,
) -> str:
    """One line of CLIENT LIST, in Redis's words (https://redis.io/commands/client-list/).

    Sizes are what is known without counting: qbuf has come and is not parsed, argv-mem is of the request that is
    arriving, obl is being sent (at most), omem and oll wait behind it; tot-mem has the requests under way as well.
    """
    flags = "".join(
        letter
        for letter, is_set in (
            ("b", bool(queue.blocked)),
            ("c", queue.closing),
            ("e", no_evict),
            ("r", queue.readonly),
            ("T", no_touch),
            ("x", transaction is not None),
        )
        if is_set
    )
    output = queue.output
    arriving = reader.buffered - reader.argument_bytes
    queued, queued_bytes = (len(transaction.items), transaction.bytes) if transaction is not None else (-1, 0)
    return (
        f"id={identity.id} addr={identity.peer} laddr={identity.local} fd={identity.descriptor}"
        f" name={identity.name.decode('latin-1')} age={int(now - identity.created)}"
        f" idle={int(now - last_active)} flags={flags or 'N'} db=0 sub=0 psub=0 ssub=0 multi={queued}"
        f" qbuf={queue.held + arriving} qbuf-free=0 argv-mem={reader.argument_bytes}"
        f" multi-mem={queued_bytes + watch.bytes}"
        f" rbs=0 rbp=0 obl={output.handed} oll={len(output.blocks)} omem={output.unsent + queue.pushed_bytes}"
        f" tot-mem={kept_bytes + output.handed}"
        f" events={'rw' if output.unsent else 'r'} cmd={last_command}"
        f" user={identity.user.decode('latin-1')} redir=-1"
        f" resp={3 if queue.resp3 else 2} lib-name={identity.library_name.decode('latin-1')}"
        f" lib-ver={identity.library_version.decode('latin-1')}"
    )
