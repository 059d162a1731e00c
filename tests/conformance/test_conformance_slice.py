"""A slice of `make conformance`: what all families answer is what a redis-server answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leto.keyspace.types.hash import Hash
from leto.vocabulary.registry import KEYSPACE
from tests.conformance import stream
from tests.conformance.comparison import Tally, differs, shortest
from tests.conformance.comparison import stream as stream_of
from tests.conformance.differences import same
from tests.conformance.replies import Node, split
from tests.conformance.sides import Incomparable, Redis

SEEDS = 150
stream.load()


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    try:
        server = Redis(str(tmp_path_factory.mktemp("redis")))
    except Incomparable as error:
        pytest.skip(str(error))
    yield server
    server.close()


def test_random_commands_are_answered_alike(redis: Redis) -> None:
    tally = Tally()
    for seed in range(SEEDS):
        difference = differs(redis, seed, stream_of(seed, []), tally)
        assert difference is None, f"seed {seed}:\n{shortest(redis, seed, difference)}"
    assert tally.commands.total() > 100 * SEEDS
    assert tally.errors.total() < tally.commands.total() / 2


def test_a_difference_is_found_and_made_short(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = [[b"SET", b"a", b"1"], [b"LPUSH", b"k", b"x"], [b"TTL", b"k"], [b"HSET", b"h", b"f", b"v"], [b"HLEN", b"h"]]
    assert differs(redis, 0, wrong) is None
    monkeypatch.setattr(Hash, "__len__", lambda self: 7)
    found = differs(redis, 0, wrong)
    assert found is not None
    assert shortest(redis, 0, found).stream == [[b"HSET", b"h", b"f", b"v"], [b"HLEN", b"h"]]


def test_every_family_is_of_this_versions_commands() -> None:
    for name, makers in stream.FAMILIES.items():
        assert any(command in KEYSPACE for command in makers), name


def test_replies_are_split_as_they_are_on_the_wire() -> None:
    data = b"%1\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n"
    found = Node(b"%", b"", (Node(b"$", b"a"), Node(b"*", b"", (Node(b":", b"1"), Node(b"$")))))
    assert split(data) == (found, len(data))
    assert all(split(data[:size]) is None for size in range(len(data)))
    assert split(b"+OK\r\n") == (Node(b"+", b"OK"), 5)


@pytest.mark.parametrize(
    ("command", "ours", "theirs", "alike"),
    [
        (b"SMEMBERS k", b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:2\r\n:1\r\n", True),
        (b"SMEMBERS k", b"*2\r\n:1\r\n:2\r\n", b"~2\r\n:2\r\n:1\r\n", False),
        (b"LRANGE k 0 -1", b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:2\r\n:1\r\n", False),
        (b"HGETALL k", b"*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", b"*4\r\n:3\r\n:4\r\n:1\r\n:2\r\n", True),
        (b"HGETALL k", b"*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", b"*4\r\n:3\r\n:2\r\n:1\r\n:4\r\n", False),
        (b"ttl k", b":100\r\n", b":99\r\n", True),
        (b"TTL k", b":100\r\n", b":-1\r\n", False),
        (b"SPOP k", b"$1\r\na\r\n", b"$1\r\nb\r\n", True),
        (b"SPOP k", b"$1\r\na\r\n", b"$-1\r\n", False),
    ],
)
def test_what_may_differ(command: bytes, ours: bytes, theirs: bytes, alike: bool) -> None:
    one, other = split(ours), split(theirs)
    assert one is not None and other is not None
    assert same(command.split(), one[0], other[0])[0] is alike
