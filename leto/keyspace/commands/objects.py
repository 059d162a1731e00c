"""OBJECT: what can be told of a value without reading it."""

from __future__ import annotations

from leto.keyspace.database import Database
from leto.keyspace.types.long_string import LongString
from leto.vocabulary.numbers import parse_integer
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import Error, Reply, Status

EMBEDDED = 44  # bytes up to which Redis embeds a string in its object
NO_FREQUENCY = Error(
    b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching"
    b" between policies at runtime LRU and LFU data will take some time to adjust."
)
HELP = (
    b"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    b"ENCODING <key>",
    b"    Return the kind of internal representation used in order to store the value",
    b"    associated with a <key>.",
    b"FREQ <key>",
    b"    Return the access frequency index of the <key>. The returned integer is",
    b"    proportional to the logarithm of the recent access frequency of the key.",
    b"IDLETIME <key>",
    b"    Return the idle time of the <key>, that is the approximated number of",
    b"    seconds elapsed since the last access to the key.",
    b"REFCOUNT <key>",
    b"    Return the number of references of the value associated with the specified",
    b"    <key>.",
    b"HELP",
    b"    Prints this help.",
)


@KEYSPACE.add(
    "OBJECT",
    -2,
    "",
    group="generic",
    since="2.2.3",
    summary="A container for object introspection commands",
    complexity="Depends on subcommand.",
    categories="slow",
)
def object_(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/object: the container; a request always names a subcommand."""
    return KEYSPACE.resolve(argv)


@KEYSPACE.add(
    "ENCODING",
    3,
    "readonly",
    parent="OBJECT",
    keys=(2, 2, 1),
    group="generic",
    since="2.2.3",
    summary="Inspect the internal encoding of a Redis object",
    syntax="key",
    categories="keyspace read slow",
    tips="nondeterministic_output",
    key_flags="RO",
)
def encoding(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/object-encoding: by the value alone (Redis says raw after an APPEND, however short)."""
    record = db.find(argv[2])
    if record is None:
        return None
    value = record.value
    if isinstance(value, LongString):
        return b"raw"
    if not isinstance(value, bytes):
        return value.encoding()
    if parse_integer(value) is not None:
        return b"int"
    return b"embstr" if len(value) <= EMBEDDED else b"raw"


@KEYSPACE.add(
    "REFCOUNT",
    3,
    "readonly",
    parent="OBJECT",
    keys=(2, 2, 1),
    group="generic",
    since="2.2.3",
    summary="Get the number of references to the value of the key",
    syntax="key",
    categories="keyspace read slow",
    tips="nondeterministic_output",
    key_flags="RO",
)
def refcount(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/object-refcount: values are not shared (Redis shares small integers, now and then)."""
    return None if db.find(argv[2]) is None else 1


@KEYSPACE.add(
    "IDLETIME",
    3,
    "readonly",
    parent="OBJECT",
    keys=(2, 2, 1),
    group="generic",
    since="2.2.3",
    summary="Get the time since a Redis object was last accessed",
    syntax="key",
    categories="keyspace read slow",
    tips="nondeterministic_output",
    key_flags="RO",
)
def idletime(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/object-idletime: seconds since the key was last written. Reads change nothing here, so that
    every node can serve them; what came with a snapshot counts as written when that was taken."""
    record = db.find(argv[2])
    return None if record is None else max(0, db.now - db.ages.written_at(record.version)) // 1000


@KEYSPACE.add(
    "FREQ",
    3,
    "readonly",
    parent="OBJECT",
    keys=(2, 2, 1),
    group="generic",
    since="4.0.0",
    summary="Get the logarithmic access frequency counter of a Redis object",
    syntax="key",
    categories="keyspace read slow",
    tips="nondeterministic_output",
    key_flags="RO",
)
def freq(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/object-freq: Redis's error where no LFU policy is set."""
    return None if db.find(argv[2]) is None else NO_FREQUENCY


@KEYSPACE.add(
    "HELP",
    2,
    "loading stale",
    parent="OBJECT",
    group="generic",
    since="6.2.0",
    summary="Show helpful text about the different subcommands",
    categories="keyspace slow",
)
def help_(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/object-help"""
    return [Status(line) for line in HELP]
