"""Streams of commands, the same for the same seed: a family of commands is a file in families/, which adds generators.

A generator makes one command out of a Source. Few keys, types mixed, arguments at the edges; some commands are damaged
afterwards: a word less or more, or another one in its place.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

Command = list[bytes]
KEYS = [b"k%d" % number for number in range(6)]
FIELDS = [b"", b"a", b"b", b"c", b"field", b"x" * 64, b"x" * 65, *[b"%d" % number for number in range(12)]]
VALUES = [b"", b"0", b"1", b"-1", b"10", b"abc", b"a b", b"\x00\xff\r\n", b"x" * 64, b"y" * 65, b"3.5", b"01", b"+1"]
INTEGERS = [
    *[b"%d" % number for number in (0, 1, -1, 2, 3, -2, 5, 7, 10, 100)],
    b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"x", b"", b"1.0", b" 1", b"01", b"-0",
]  # fmt: skip
# None is too large for a double: a redis-server that has read one refuses whatever it sorts from then on.
FLOATS = [
    b"0", b"1", b"-1", b"1.5", b"-2.25", b"0.1", b"3e2", b"1e-5", b"1e308", b"inf", b"-inf", b"+inf", b"nan", b"x", b"",
    b"-0", b"0x10", b"12345678901234567", b"3.0000000000000004",
]  # fmt: skip
WHOLE = frozenset((b"ZRANK", b"ZREVRANK"))  # they take a word more since 7.2
DAMAGES = 0.04  # of all commands


class Source(random.Random):
    """Draws arguments."""

    def key(self) -> bytes:
        return self.choice(KEYS)

    def field(self) -> bytes:
        return self.choice(FIELDS)

    def value(self) -> bytes:
        return self.choice(VALUES) if self.random() < 0.8 else b"v%d" % self.randrange(1000)

    def integer(self) -> bytes:
        return b"%d" % self.randrange(-10, 10) if self.random() < 0.7 else self.choice(INTEGERS)

    def count(self) -> bytes:
        return b"%d" % self.randrange(1, 6) if self.random() < 0.8 else self.small(INTEGERS)

    def small(self, texts: list[bytes]) -> bytes:
        """None that asks for very much."""
        return self.choice([text for text in texts if len(text) < 10])

    def number(self) -> bytes:
        return b"%.2f" % self.uniform(-9, 9) if self.random() < 0.6 else self.choice(FLOATS)

    def some(self, draw: Callable[[], bytes], most: int = 4) -> list[bytes]:
        return [draw() for _ in range(self.randint(1, most))]

    def maybe(self, *words: bytes | list[bytes], chance: float = 0.3) -> list[bytes]:
        """All of these, or nothing."""
        if self.random() >= chance:
            return []
        return [each for word in words for each in (word if isinstance(word, list) else [word])]

    def one(self, *words: bytes) -> bytes:
        return self.choice(words)

    def cased(self, word: bytes) -> bytes:
        return word if self.random() < 0.9 else word.lower() if self.random() < 0.5 else word.title()


Generator = Callable[[Source], list[bytes]]
FAMILIES: dict[str, dict[bytes, Generator]] = {}


def family(name: str) -> Callable[[bytes], Callable[[Generator], Generator]]:
    """What a file of families/ registers its generators with, by the command that they make."""
    commands = FAMILIES.setdefault(name, {})

    def makes(command: bytes) -> Callable[[Generator], Generator]:
        def add(generator: Generator) -> Generator:
            commands[command] = generator
            return generator

        return add

    return makes


def load() -> None:
    """All families."""
    for path in sorted((Path(__file__).parent / "families").glob("*.py")):
        import_module(f"tests.conformance.families.{path.stem}")


def commands(seed: int, count: int, families: list[str], known: Callable[[bytes], bool]) -> Iterator[Command]:
    """`count` commands of these families, of those that are `known`; two families take turns with one another in one
    stream, so that they meet each other's types."""
    source = Source(seed)
    chosen = source.sample(families, k=min(len(families), source.randint(1, 3)))
    makers = [(name, make) for family in chosen for name, make in FAMILIES[family].items() if known(name)]
    for _ in range(count):
        name, make = source.choice(makers)
        command = [source.cased(name), *make(source)]
        is_damaged = source.random() < DAMAGES and name not in WHOLE and command[1:2] not in ([b"alike1"], [b"alike2"])
        yield damaged(source, command) if is_damaged else command


def damaged(source: Source, command: Command) -> Command:
    place = source.randrange(1, len(command)) if len(command) > 1 else 1
    match source.randrange(4):
        case 0:
            return command[:-1] or command
        case 1:
            return [*command, source.value()]
        case 2:
            return [*command[:place], source.value(), *command[place + 1 :]]
        case _:
            return [*command[:place], source.one(b"NX", b"XX", b"COUNT", b"LIMIT", b"WITHSCORES"), *command[place:]]
