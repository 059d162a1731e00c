"""One stream at both: where they differ first, and the shortest stream that shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leto.vocabulary.registry import KEYSPACE
from tests.conformance.differences import parts, same
from tests.conformance.replies import Node
from tests.conformance.sides import Leto, Redis
from tests.conformance.stream import FAMILIES, Command, commands

STREAM = 200  # commands of one seed
TRIES = 400  # of shorter streams


class Difference(NamedTuple):
    """The replies to the last of these commands differ."""

    stream: list[Command]
    ours: Node
    theirs: Node

    def __str__(self) -> str:
        lines = [" ".join(_shown(word) for word in command) for command in self.stream]
        return "\n".join([*lines, f"  leto   {self.ours}", f"  redis  {self.theirs}"])


def _shown(word: bytes) -> str:
    return repr(word)[2:-1] if word and b" " not in word else f'"{repr(word)[2:-1]}"'


class Tally:
    """What was compared."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.rules: Counter[int] = Counter()

    def add(self, command: Command, rule: int, theirs: Node) -> None:
        self.commands[command[0].upper().decode()] += 1
        self.rules[rule] += 1
        if theirs.mark == b"-":
            self.errors[(theirs.text or b"").decode("latin-1").split("'")[0]] += 1


def known(name: bytes) -> bool:
    """Whether this version has the command: one of the connection is taken to be there."""
    return name in KEYSPACE or name in (b"MULTI", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH")


def stream(seed: int, families: list[str]) -> list[Command]:
    """What the seed stands for: a stream whose client speaks RESP2 or RESP3."""
    hello = [[b"HELLO", b"3"]] if seed % 2 else []
    return [*hello, *commands(seed, STREAM, sorted(families or FAMILIES), known)]


class Pair:
    """One client at each."""

    def __init__(self, redis: Redis, seed: int, tally: Tally | None) -> None:
        self._leto, self._redis, self._tally = Leto(seed), redis, tally
        self._queued: list[Command] | None = None  # of a transaction
        redis.reconnect()
        redis.ask([b"FLUSHALL"])

    def ask(self, command: Command) -> tuple[Node, Node, bool]:
        """The two replies, and whether they are as they may be."""
        ours, theirs = self._leto.ask(command), self._redis.ask(command)
        queued = self._queued
        if queued is not None and theirs.text == b"QUEUED":
            queued.append(command)
        elif command[0].upper() == b"MULTI" and theirs.text == b"OK":
            self._queued = []
        elif command[0].upper() in (b"EXEC", b"DISCARD") and theirs.text != b"QUEUED" and len(command) == 1:
            self._queued = None
            if queued and len(theirs.items) == len(ours.items) == len(queued):
                return ours, theirs, self._are_same(queued, ours.items, theirs.items)
        return ours, theirs, command[0] == b"HELLO" or self._are_same([command], [ours], [theirs])

    def _are_same(self, asked: Sequence[Command], ours: Sequence[Node], theirs: Sequence[Node]) -> bool:
        """Up to the first that may have left the two in other states: they are made equal then."""
        for command, one, other in zip(asked, ours, theirs, strict=True):
            is_same, rule = same(command, one, other)
            if not is_same:
                return False
            if self._tally is not None:
                self._tally.add(command, rule, other)
            if parts(command, rule) and other.mark != b"-" and other.text != b"QUEUED":
                for side in (self._leto, self._redis):
                    side.ask([b"FLUSHALL"] if len(asked) > 1 else [b"DEL", command[1]])
                break
        return True


def differs(redis: Redis, seed: int, wanted: Iterable[Command], tally: Tally | None = None) -> Difference | None:
    """The first difference."""
    pair = Pair(redis, seed, tally)
    done: list[Command] = []
    for command in wanted:
        done.append(command)
        ours, theirs, are_same = pair.ask(command)
        if not are_same:
            return Difference(done, ours, theirs)
    return None


def shortest(redis: Redis, seed: int, found: Difference) -> Difference:
    """A stream with fewer commands whose last one differs: they are left out as long as it does."""
    tries = 0
    size = len(found.stream) // 2
    while size:
        start = 0
        while start < len(found.stream) - 1 and tries < TRIES:
            tries += 1
            rest = found.stream[:start] + found.stream[start + size :]
            shorter = differs(redis, seed, rest) if rest else None
            if shorter is not None:
                found = shorter
            else:
                start += size
        size //= 2
    return found
