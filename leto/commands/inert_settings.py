"""Redis's settings that steer nothing here: CONFIG SET takes them in Redis's bounds, CONFIG GET shows what was set.

They are what libraries, tools and tests set as a matter of course. Each either has nothing to act on in Leto (a
background save, the rewriting of an append-only file, lists of replicas), or concerns what Leto does by itself at all
times (`activerehashing`, `lazyfree-*`). A setting that would promise something is not among them: `maxmemory` takes 0
alone, since no memory limit is held. Names, defaults and bounds are those of Redis 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from leto.vocabulary.numbers import parse_integer

_INT32 = (1 << 31) - 1
_INT64 = (1 << 63) - 1
_UNITS = {b"": 1, b"b": 1, b"k": 1000, b"kb": 1 << 10, b"m": 10**6, b"mb": 1 << 20, b"g": 10**9, b"gb": 1 << 30}
POLICIES = (
    *(f"volatile-{kind}" for kind in ("lru", "lfu", "random", "ttl")),
    *(f"allkeys-{kind}" for kind in ("lru", "lfu", "random")),
    "noeviction",
)


class Unacceptable(Exception):
    """Why a value is not taken, in Redis's words."""


def within(value: int, low: int, high: int) -> int:
    """`value`, if it lies within the bounds, both included. Raises Unacceptable."""
    if not low <= value <= high:
        raise Unacceptable(f"argument must be between {low} and {high} inclusive")
    return value


def number(low: int, high: int) -> Callable[[bytes], int]:
    """A parser of whole numbers within the bounds, both included; it raises Unacceptable."""

    def parse(text: bytes) -> int:
        value = parse_integer(text)
        if value is None:
            raise Unacceptable("argument couldn't be parsed into an integer")
        return within(value, low, high)

    return parse


def size(low: int, high: int = _INT64) -> Callable[[bytes], int]:
    """A parser of bytes, with or without one of Redis's units; it raises Unacceptable."""

    def parse(text: bytes) -> int:
        digits = text.rstrip(b"bkmgBKMG")
        unit = _UNITS.get(text[len(digits) :].lower())
        value = parse_integer(digits)
        if value is None or value < 0 or unit is None:
            raise Unacceptable("argument must be a memory value")
        return within(value * unit, low, high)

    return parse


def switch(text: bytes) -> bool:
    """yes or no. Raises Unacceptable."""
    if text.lower() not in (b"yes", b"no"):
        raise Unacceptable("argument must be 'yes' or 'no'")
    return text.lower() == b"yes"


def _yes_or_no(text: bytes) -> str:
    return "yes" if switch(text) else "no"


def _one_of(*words: str) -> Callable[[bytes], str]:
    def parse(text: bytes) -> str:
        word = text.decode("latin-1").lower()
        if word not in words:
            raise Unacceptable(f"argument(s) must be one of the following: {', '.join(words)}")
        return word

    return parse


def _save(text: bytes) -> str:
    """Pairs of seconds and changes, or nothing."""
    numbers = [parse_integer(word) for word in text.split()]
    pairs = zip(numbers[::2], numbers[1::2], strict=False)
    if len(numbers) % 2 or any(s is None or c is None or s < 1 or c < 0 for s, c in pairs):
        raise Unacceptable("Invalid save parameters")
    return " ".join(map(str, numbers))


def _hertz(text: bytes) -> int:
    """Redis takes any number, and keeps it between 1 and 500."""
    return max(1, min(number(0, _INT32)(text), 500))


def _no_limit(text: bytes) -> int:
    if size(0)(text):
        raise Unacceptable("Leto holds no memory limit: 0 is the one value that it can keep")
    return 0


@dataclass(frozen=True, slots=True)
class Inert:
    """A setting without effect. `parse` gives the value to show and raises Unacceptable; `twin` is its other name,
    which is shown and set with it."""

    name: str
    default: str
    parse: Callable[[bytes], object]
    twin: str = ""


_COUNT = number(0, _INT64)


def _listpack(name: str, default: int, parse: Callable[[bytes], int] = _COUNT) -> Inert:
    """A threshold between two encodings; `ziplist` is what Redis called a listpack before 7.0."""
    return Inert(name, str(default), parse, name.replace("listpack", "ziplist"))


_ALL = (
    Inert("active-expire-effort", "1", number(1, 10)),
    Inert("activedefrag", "no", _yes_or_no),
    Inert("activerehashing", "yes", _yes_or_no),
    Inert("aof-load-truncated", "yes", _yes_or_no),
    Inert("aof-rewrite-incremental-fsync", "yes", _yes_or_no),
    Inert("aof-timestamp-enabled", "no", _yes_or_no),
    Inert("aof-use-rdb-preamble", "yes", _yes_or_no),
    Inert("appendonly", "yes", _yes_or_no),
    Inert("auto-aof-rewrite-min-size", "67108864", size(0)),
    Inert("auto-aof-rewrite-percentage", "100", number(0, _INT32)),
    Inert("busy-reply-threshold", "5000", number(0, _INT64), "lua-time-limit"),
    Inert("dynamic-hz", "yes", _yes_or_no),
    _listpack("hash-max-listpack-entries", 512),
    _listpack("hash-max-listpack-value", 64, size(0)),
    Inert("hll-sparse-max-bytes", "3000", size(0)),
    Inert("hz", "10", _hertz),
    Inert("jemalloc-bg-thread", "yes", _yes_or_no),
    Inert("latency-tracking", "yes", _yes_or_no),
    *(
        Inert(f"lazyfree-lazy-{what}", "no", _yes_or_no)
        for what in ("eviction", "expire", "server-del", "user-del", "user-flush")
    ),
    Inert("lfu-decay-time", "1", number(0, _INT32)),
    Inert("lfu-log-factor", "10", number(0, _INT32)),
    Inert("list-compress-depth", "0", number(0, _INT32)),
    Inert("list-max-listpack-size", "-2", number(-_INT32 - 1, _INT32), "list-max-ziplist-size"),
    Inert("maxmemory", "0", _no_limit),
    Inert("maxmemory-eviction-tenacity", "10", number(0, 100)),
    Inert("maxmemory-policy", "noeviction", _one_of(*POLICIES)),
    Inert("maxmemory-samples", "5", number(1, _INT32)),
    Inert("min-replicas-max-lag", "10", number(0, _INT32), "min-slaves-max-lag"),
    Inert("min-replicas-to-write", "0", number(0, _INT32), "min-slaves-to-write"),
    Inert("no-appendfsync-on-rewrite", "no", _yes_or_no),
    Inert("rdb-save-incremental-fsync", "yes", _yes_or_no),
    Inert("rdbchecksum", "yes", _yes_or_no),
    Inert("rdbcompression", "yes", _yes_or_no),
    Inert("repl-backlog-size", "1048576", size(1)),
    Inert("repl-backlog-ttl", "3600", _COUNT),
    Inert("repl-diskless-load", "disabled", _one_of("disabled", "on-empty-db", "swapdb")),
    Inert("repl-diskless-sync", "yes", _yes_or_no),
    Inert("repl-diskless-sync-delay", "5", number(0, _INT32)),
    Inert("repl-ping-replica-period", "10", number(1, _INT32), "repl-ping-slave-period"),
    Inert("repl-timeout", "60", number(1, _INT32)),
    Inert("replica-ignore-maxmemory", "yes", _yes_or_no, "slave-ignore-maxmemory"),
    Inert("replica-lazy-flush", "no", _yes_or_no, "slave-lazy-flush"),
    Inert("replica-priority", "100", number(0, _INT32), "slave-priority"),
    Inert("replica-serve-stale-data", "yes", _yes_or_no, "slave-serve-stale-data"),
    Inert("sanitize-dump-payload", "no", _one_of("no", "yes", "clients")),
    Inert("save", "", _save),
    Inert("set-max-intset-entries", "512", _COUNT),
    _listpack("set-max-listpack-entries", 128),
    _listpack("set-max-listpack-value", 64),
    Inert("slave-read-only", "yes", _yes_or_no, "replica-read-only"),
    Inert("stop-writes-on-bgsave-error", "yes", _yes_or_no),
    Inert("stream-node-max-bytes", "4096", size(0)),
    Inert("stream-node-max-entries", "100", _COUNT),
    Inert("tracking-table-max-keys", "1000000", _COUNT),
    _listpack("zset-max-listpack-entries", 128),
    _listpack("zset-max-listpack-value", 64, size(0)),
)
INERT: Mapping[str, Inert] = {name: inert for inert in _ALL for name in (inert.name, inert.twin) if name}
"""By each of their names."""
