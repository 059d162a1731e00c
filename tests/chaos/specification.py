"""What a few keys are meant to do, one operation after the other: the specification that histories are held against.

A state is the keys that exist, sorted, with their values. An action is what must hold (the keys that a transaction
watched, with the values they had), and the commands, which take effect at one instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

State = tuple[tuple[bytes, bytes], ...]
Command = tuple[bytes, ...]
Guard = tuple[tuple[bytes, bytes | None], ...]
Action = tuple[Guard, tuple[Command, ...]]

EMPTY: State = ()
ABORTED = "aborted"


def single(*words: bytes) -> Action:
    """One command outside of any transaction."""
    return (), (words,)


def step(state: State, action: Action) -> tuple[State, Any]:
    """The state afterwards, and the replies, one a command; ABORTED if the guard does not hold."""
    guard, commands = action
    data = dict(state)
    if any(data.get(key) != value for key, value in guard):
        return state, ABORTED
    replies = tuple(KNOWN[command[0]](data, *command[1:]) for command in commands)
    return tuple(sorted(data.items())), replies


def is_read(action: Action) -> bool:
    return all(command[0] in READS for command in action[1])


def is_passive(action: Action) -> bool:
    """What changes nothing later once it changes nothing now: reads, and the end of a value that another replaced."""
    return all(command[0] in READS or command[0] == EXPIRE for command in action[1])


def append_only(values: Iterable[bytes | None], lengths: Iterable[int] = ()) -> Callable[[State], bool]:
    """For one key that is only ever appended to: the values read, and the lengths answered.

    Its states are prefixes of one another, so of what is read; and one longer than all that is seen explains nothing.
    """
    seen = [value or b"" for value in values]
    longest = max(seen, key=len, default=b"")
    most = max([len(longest), *lengths])

    def feasible(state: State) -> bool:
        value = state[0][1] if state else b""
        return len(value) <= most and longest.startswith(value[: len(longest)])

    return feasible


# Commands: they change `data` and give the reply as a RESP reader does ---------------------------------------


def _get(data: dict[bytes, bytes], key: bytes) -> bytes | None:
    return data.get(key)


def _set(data: dict[bytes, bytes], key: bytes, value: bytes, *options: bytes) -> bytes | None:
    old = data.get(key)
    refused = (b"NX" in options and old is not None) or (b"XX" in options and old is None)
    if not refused:
        data[key] = value
    if b"GET" in options:
        return old
    return None if refused else b"OK"


def _getdel(data: dict[bytes, bytes], key: bytes) -> bytes | None:
    return data.pop(key, None)


def _del(data: dict[bytes, bytes], *keys: bytes) -> int:
    return sum(data.pop(key, None) is not None for key in keys)


def _exists(data: dict[bytes, bytes], *keys: bytes) -> int:
    return sum(key in data for key in keys)


def _incrby(data: dict[bytes, bytes], key: bytes, amount: bytes = b"1") -> int:
    value = int(data.get(key, b"0")) + int(amount)
    data[key] = b"%d" % value
    return value


def _decrby(data: dict[bytes, bytes], key: bytes, amount: bytes) -> int:
    return _incrby(data, key, b"%d" % -int(amount))


def _append(data: dict[bytes, bytes], key: bytes, value: bytes) -> int:
    data[key] = data.get(key, b"") + value
    return len(data[key])


def _strlen(data: dict[bytes, bytes], key: bytes) -> int:
    return len(data.get(key, b""))


def _mget(data: dict[bytes, bytes], *keys: bytes) -> list[bytes | None]:
    return [data.get(key) for key in keys]


def _mset(data: dict[bytes, bytes], *words: bytes) -> bytes:
    data.update(zip(words[::2], words[1::2], strict=True))
    return b"OK"


COMMANDS: dict[bytes, Callable[..., Any]] = {
    b"GET": _get,
    b"SET": _set,
    b"GETDEL": _getdel,
    b"DEL": _del,
    b"EXISTS": _exists,
    b"INCR": _incrby,
    b"INCRBY": _incrby,
    b"DECRBY": _decrby,
    b"APPEND": _append,
    b"STRLEN": _strlen,
    b"MGET": _mget,
    b"MSET": _mset,
}


# What nobody sends, and happens all the same (tests.chaos.expiry) ------------------------------------------------


def _expire(data: dict[bytes, bytes], key: bytes, value: bytes) -> None:
    """The time has come for that value; if another has taken its place, nothing happens."""
    if data.get(key) == value:
        del data[key]


def _forget(data: dict[bytes, bytes], key: bytes) -> None:
    """DEL of a key that may have expired before."""
    data.pop(key, None)


EXPIRE = b"(expires)"
FORGET = b"(deleted or expired)"
KNOWN: dict[bytes, Callable[..., Any]] = {**COMMANDS, EXPIRE: _expire, FORGET: _forget}
READS = frozenset((b"GET", b"EXISTS", b"STRLEN", b"MGET"))


def pack(commands: Sequence[Sequence[bytes]]) -> bytes:
    """RESP requests."""
    parts = []
    for words in commands:
        parts.append(b"*%d\r\n" % len(words))
        parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)
