"""What a peer forwards: nothing is let through that does not apply, nothing is kept out that a client may send."""

from __future__ import annotations

import pytest

from leto.errors import RequestRefused
from leto.keyspace.admission import check_requests, checking
from leto.keyspace.machine import understood
from leto.vocabulary.levels import BASE
from leto.vocabulary.registry import KEYSPACE
from leto.vocabulary.replies import Error
from leto.vocabulary.steps import exhaust
from tests.keyspace.batches import Bench, pack
from tests.keyspace.case_files import all_scripts


def admit(requests, count=1, longest=1000, level=BASE):
    check_requests(requests, count, commands=KEYSPACE, longest=longest, level=level)


@pytest.mark.parametrize(
    ("requests", "count"),
    [
        (b"garbage", 1),
        (b"", 0),
        (b"", 1),
        (pack("SET a b"), 0),
        (pack("SET a b"), 2),
        (pack("SET a b"), 1 << 62),
        (pack("SET a b", "SET a c"), 1),
        (pack("SET a b")[:-1], 1),
        (pack("SET a b") + b"\r\n", 1),
        (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$-1\r\n", 1),
        (b"*03\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", 1),
        (b"*3\r\n$+3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", 1),
        (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n:1\r\n", 1),
        (b"*0\r\n" + pack("SET a b"), 1),
        (b"*2147483647\r\n$3\r\nDEL\r\n", 1),
        (b"SET a b\r\n", 1),
        (pack("NOSUCH a"), 1),
        (pack("SET a"), 1),
        (pack("SET a b", "GET"), 2),
        (pack("EXPIRED a"), 1),
        (pack("PING"), 1),
        (pack("FLUSHALL NOW"), 2),
        (pack("GET a"), 1),
        (pack("SET a b", "KEYS *"), 2),
        (pack("OBJECT NOSUCH a", "SET a b"), 2),
        (pack("MULTI", "SET a b"), 1),
        (pack("SET a b", "EXEC"), 2),
        (pack("MULTI", "MULTI", "SET a b", "EXEC"), 1),
        (pack("MULTI 1", "SET a b", "EXEC"), 1),
        (pack("MULTI x a", "SET a b", "EXEC"), 1),
        (pack("MULTI", "GET a", "EXEC"), 1),
        (pack("MULTI", "EXEC"), 1),
        (pack("MULTI", "SET a b", "NOSUCH", "EXEC"), 1),
        (pack("MULTI", "SET a b", "GET", "EXEC"), 1),
        (pack(("SET", "a", "x" * 1001)), 1),
        (pack("MULTI 1 " + "k" * 1001, "SET a b", "EXEC"), 1),
    ],
)
def test_what_no_client_could_have_appended_is_refused(requests, count):
    with pytest.raises(RequestRefused):
        admit(requests, count)


@pytest.mark.parametrize(
    ("requests", "count"),
    [
        (pack("SET a b"), 1),
        (pack("set a b", "Incr n", "GET a", "DEL a"), 4),
        (pack("MULTI", "SET a b", "KEYS *", "EXEC"), 1),
        (pack("SET a b", "MULTI 17 a 19 b", "DEL a", "EXEC", "SET c d"), 3),
        (pack(("SET", "a", "x" * 1000)), 1),
        (pack(("SET", "a", "*1234567\r\n$-1\r\n")), 1),
    ],
)
def test_what_clients_send_is_let_through_and_applies(requests, count):
    admit(requests, count)
    assert len(Bench().packed(requests, count)) == count


def test_every_write_of_the_suite_is_let_through():
    for _, steps in all_scripts():
        for words, _ in steps:
            if isinstance(words, int) or isinstance(command := KEYSPACE.resolve(words), Error):
                continue
            if command.is_write:
                admit(pack(tuple(words)), longest=1 << 20, level=understood())


def test_a_transactions_costly_reads_are_weighed():
    asked = []

    def why(reads):
        asked.append(reads)
        return "too much"

    def check(requests):
        exhaust(checking(requests, 1, commands=KEYSPACE, longest=100, level=BASE, why_refused=why))

    with pytest.raises(RequestRefused, match="too much"):
        check(pack("MULTI", "SET a b", "keys *", "GET a", "EXEC"))
    assert asked == [[[b"keys", b"*"]]]
    check(pack("SET a b"))


def test_a_long_transaction_is_checked_in_steps():
    transaction = pack("MULTI", *["INCR a"] * 20_000, "EXEC")
    steps = checking(transaction, 1, commands=KEYSPACE, longest=100, level=BASE)
    assert sum(1 for _ in steps) > 60
