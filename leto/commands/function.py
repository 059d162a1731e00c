"""FUNCTION, as far as there is anything to tell: no library can be loaded, so none is listed and none is flushed.

Test suites and tools flush the functions of a server that they are given. See https://redis.io/commands/function/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from leto.clients.table import command, container
from leto.resp.codec import Request
from leto.vocabulary.replies import OK, Error, Reply

if TYPE_CHECKING:
    from leto.clients.session import Session

container(
    "FUNCTION",
    group="scripting",
    since="7.0.0",
    summary="A container for function commands",
    help=(
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    Return general information on all the libraries.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all the libraries.",
    ),
)


@command(
    "FLUSH",
    -2,
    "write noscript",
    group="scripting",
    parent="FUNCTION",
    since="7.0.0",
    summary="Deleting all functions",
    complexity="O(N) where N is the number of functions deleted",
    syntax="[ASYNC | SYNC]",
    categories="write scripting",
    tips="request_policy:all_shards response_policy:all_succeeded",
)
def flush(session: Session, argv: Request) -> Reply:
    """redis.io/commands/function-flush"""
    if len(argv) > 3:
        return Error(b"ERR unknown subcommand or wrong number of arguments for '%b'. Try FUNCTION HELP." % argv[1])
    if len(argv) == 3 and argv[2].upper() not in (b"SYNC", b"ASYNC"):
        return Error(b"ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
    return OK


@command(
    "LIST",
    -2,
    "noscript",
    group="scripting",
    parent="FUNCTION",
    since="7.0.0",
    summary="List information about all the functions",
    complexity="O(N) where N is the number of functions",
    syntax="[LIBRARYNAME library-name-pattern] [WITHCODE]",
    categories="scripting",
    tips="nondeterministic_output_order",
)
def list_(session: Session, argv: Request) -> Reply:
    """redis.io/commands/function-list"""
    given: set[bytes] = set()
    words = iter(argv[2:])
    for word in words:
        option = word.upper()
        if option == b"LIBRARYNAME" and option not in given:
            if next(words, None) is None:
                return Error(b"ERR library name argument was not given")
        elif option != b"WITHCODE" or option in given:
            return Error(b"ERR Unknown argument %b" % word)
        given.add(option)
    return []
