"""A client in one line: CLIENT LIST's, and what the log says of one that is closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leto.clients.session import Session


def describe(session: Session) -> str:
    """One line of CLIENT LIST, in Redis's words (https://redis.io/commands/client-list/).

    Sizes are what is known without counting: qbuf has come and is not parsed, argv-mem is of the request that is
    arriving, obl is being sent (at most), omem and oll wait behind it; tot-mem has the requests under way as well.
    """
    now = session.state.reactor.seconds()
    flags = "".join(
        letter
        for letter, is_set in (
            ("b", bool(session.blocked)),
            ("c", session.closing),
            ("e", session.no_evict),
            ("r", session.readonly),
            ("T", session.no_touch),
            ("x", session.transaction is not None),
        )
        if is_set
    )
    output, reader, transaction = session.output, session.reader, session.transaction
    arriving = reader.buffered - reader.argument_bytes
    queued, queued_bytes = (len(transaction.items), transaction.bytes) if transaction is not None else (-1, 0)
    return (
        f"id={session.id} addr={session.peer} laddr={session.local} fd={session.descriptor}"
        f" name={session.name.decode('latin-1')} age={int(now - session.created)}"
        f" idle={int(now - session.last_active)} flags={flags or 'N'} db=0 sub=0 psub=0 ssub=0 multi={queued}"
        f" qbuf={session.held + arriving} qbuf-free=0 argv-mem={reader.argument_bytes}"
        f" multi-mem={queued_bytes + session.watch.bytes}"
        f" rbs=0 rbp=0 obl={output.handed} oll={len(output.blocks)} omem={output.unsent}"
        f" tot-mem={session.kept_bytes + output.handed}"
        f" events={'rw' if output.unsent else 'r'} cmd={session.last_command}"
        f" user=default redir=-1"
        f" resp={3 if session.resp3 else 2} lib-name={session.library_name.decode('latin-1')}"
        f" lib-ver={session.library_version.decode('latin-1')}"
    )
