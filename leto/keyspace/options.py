"""The options that commands on strings share: SET's and GETEX's (redis.io/commands/set)."""

from __future__ import annotations

from dataclasses import dataclass

from leto.keyspace.database import Database
from leto.vocabulary.numbers import INT64_MAX, integer
from leto.vocabulary.replies import SYNTAX_ERROR, Error, Refused


@dataclass(slots=True)
class StringOptions:
    """What follows SET key value, or GETEX key. `expire` is the text after EX, PX, EXAT or PXAT."""

    condition: bytes = b""  # NX or XX
    get: bool = False
    keep_ttl: bool = False
    persist: bool = False
    unit: bytes = b""  # EX, PX, EXAT or PXAT
    expire: bytes = b""


def parse_options(argv: list[bytes], start: int, setting: bool) -> StringOptions:
    """Parse from argv[start]; `setting` tells SET's options from GETEX's. Raises Refused (syntax error)."""
    options = StringOptions()
    words = iter(argv[start:])
    for word in words:
        option = word.upper()
        if option in (b"NX", b"XX") and setting and options.condition in (b"", option):
            options.condition = option
        elif option == b"GET" and setting:
            options.get = True
        elif option == b"KEEPTTL" and setting and not options.unit:
            options.keep_ttl = True
        elif option == b"PERSIST" and not setting and not options.unit:
            options.persist = True
        elif option in (b"EX", b"PX", b"EXAT", b"PXAT") and options.unit in (b"", option):
            expire = next(words, None)
            if expire is None or options.keep_ttl or options.persist:
                raise Refused(SYNTAX_ERROR)
            options.unit, options.expire = option, expire
        else:
            raise Refused(SYNTAX_ERROR)
    return options


def deadline(db: Database, text: bytes, unit: bytes, command: bytes) -> int:
    """When a key set now expires, in milliseconds since the epoch. Raises Refused as Redis words it."""
    number = integer(text)
    seconds = unit in (b"EX", b"EXAT")
    if number > 0 and not (seconds and number > INT64_MAX // 1000):
        if seconds:
            number *= 1000
        if unit in (b"EX", b"PX"):
            number += db.now
        if number <= INT64_MAX:
            return number
    raise Refused(Error(b"ERR invalid expire time in '%b' command" % command))
