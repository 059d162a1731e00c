"""When a key may have expired and when it must have: known good and bad histories, under each state of the clocks."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.chaos.expiry import CLOCKS_AGREE, Expiry
from tests.chaos.linearizability import UNKNOWN, Answer, Operation, check
from tests.chaos.specification import EMPTY, Action, is_passive, single, step

GET = single(b"GET", b"k")
DEL = single(b"DEL", b"k")
SKEWED = Expiry(spread=2.0, are_alike=False)
RESTARTED = Expiry(spread=2.0, are_alike=False, restarts=(5.0,))
LEASED = Expiry(lag=0.8)


def put(value: bytes, *options: bytes, life: bytes = b"1000") -> Action:
    return single(b"SET", b"k", value, b"PX", life, *options)


def did(begin: float, end: float, action: Action, reply: Any) -> Operation:
    return Operation(begin, end, action, (reply,))


def maybe(begin: float, action: Action) -> Operation:
    return Operation(begin, UNKNOWN, action)


WRITTEN = did(0.0, 0.1, put(b"v"), b"OK")
GOOD: dict[str, tuple[Expiry, list[Operation]]] = {
    "there before its time": (CLOCKS_AGREE, [WRITTEN, did(0.8, 0.9, GET, b"v")]),
    "gone after its time": (CLOCKS_AGREE, [WRITTEN, did(1.2, 1.3, GET, None)]),
    "either while nobody can know": (
        CLOCKS_AGREE,
        [WRITTEN, did(1.0, 1.05, GET, b"v"), did(1.04, 1.06, GET, None), did(1.07, 1.08, GET, None)],
    ),
    "a lock that is free again": (
        CLOCKS_AGREE,
        [
            did(0.0, 0.1, put(b"a", b"NX"), b"OK"),
            did(0.5, 0.6, put(b"b", b"NX"), None),
            did(1.2, 1.3, put(b"c", b"NX"), b"OK"),
            did(1.4, 1.5, GET, b"c"),
        ],
    ),
    "a life begun anew": (
        CLOCKS_AGREE,
        [WRITTEN, did(0.8, 0.9, put(b"w"), b"OK"), did(1.5, 1.6, GET, b"w"), did(2.0, 2.1, GET, None)],
    ),
    "an unknown write that took effect late lives late": (
        CLOCKS_AGREE,
        [maybe(0.0, put(b"v")), did(0.5, 0.6, GET, None), did(7.0, 7.1, GET, b"v"), did(8.2, 8.3, GET, None)],
    ),
    "gone early by a clock that is ahead": (SKEWED, [WRITTEN, did(0.3, 0.4, GET, None)]),
    "gone late as the clock was told late": (SKEWED, [WRITTEN, did(2.2, 2.25, GET, b"v")]),
    "back after those who knew the clock restarted": (
        RESTARTED,
        [WRITTEN, did(0.3, 0.4, GET, None), did(2.0, 2.1, GET, b"v"), did(6.0, 6.1, GET, None)],
    ),
    "deleted after a restart, there or not": (
        RESTARTED,
        [WRITTEN, did(0.3, 0.4, DEL, 0), did(5.5, 5.6, GET, None)],
    ),
    "a lock taken again after a restart": (
        RESTARTED,
        [
            did(0.0, 0.1, put(b"a", b"NX"), b"OK"),
            did(0.3, 0.4, GET, None),
            did(0.5, 0.6, put(b"b", b"NX"), None),
            did(5.5, 5.6, put(b"c", b"NX"), b"OK"),
            did(5.7, 5.8, GET, b"c"),
        ],
    ),
    "shown by a lease a little longer": (LEASED, [WRITTEN, did(1.7, 1.8, GET, b"v")]),
}
BAD: dict[str, tuple[Expiry, list[Operation]]] = {
    "gone before its time": (CLOCKS_AGREE, [WRITTEN, did(0.8, 0.9, GET, None)]),
    "there after its time": (CLOCKS_AGREE, [WRITTEN, did(1.2, 1.3, GET, b"v")]),
    "gone and back": (
        CLOCKS_AGREE,
        [WRITTEN, did(1.0, 1.01, GET, None), did(1.02, 1.03, GET, b"v")],
    ),
    "gone and back, though no node restarted": (
        SKEWED,
        [WRITTEN, did(0.3, 0.4, GET, None), did(0.5, 0.6, GET, b"v")],
    ),
    "a lock held by two": (
        CLOCKS_AGREE,
        [did(0.0, 0.1, put(b"a", b"NX"), b"OK"), did(0.5, 0.6, put(b"b", b"NX"), b"OK")],
    ),
    "a lock held by two, before any clock could have let go": (
        Expiry(spread=0.3, are_alike=False, restarts=(0.2,)),
        [did(0.0, 0.1, put(b"a", b"NX"), b"OK"), did(0.5, 0.6, put(b"b", b"NX"), b"OK")],
    ),
    "a lock that is never free again": (
        CLOCKS_AGREE,
        [did(0.0, 0.1, put(b"a", b"NX"), b"OK"), did(1.2, 1.3, put(b"b", b"NX"), None)],
    ),
    "a life that the next value inherits": (
        CLOCKS_AGREE,
        [WRITTEN, did(0.8, 0.9, put(b"w"), b"OK"), did(1.5, 1.6, GET, None)],
    ),
    "gone earlier than any clock allows": (
        SKEWED,
        [did(0, 0.1, put(b"v", life=b"2500"), b"OK"), did(0.3, 0.4, GET, None)],
    ),
    "there later than the cluster's clock allows, however wrong wall clocks are": (
        Expiry(spread=86_400.0, are_alike=False),
        [WRITTEN, did(2.4, 2.5, GET, b"v")],
    ),
    "there later than any clock allows": (SKEWED, [WRITTEN, did(3.2, 3.3, GET, b"v")]),
    "an overwritten value back after a restart": (
        RESTARTED,
        [WRITTEN, did(0.3, 0.4, put(b"w"), b"OK"), did(5.5, 5.6, GET, b"v"), did(5.7, 5.8, GET, b"w")],
    ),
    "a deleted value back after a restart": (
        RESTARTED,
        [WRITTEN, did(0.3, 0.4, DEL, 1), did(5.5, 5.6, GET, b"v")],
    ),
    "shown by a lease for too long": (LEASED, [WRITTEN, did(2.0, 2.1, GET, b"v")]),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history(name: str) -> None:
    expiry, history = GOOD[name]
    verdict = check(expiry.explained(history), EMPTY, step, passive=is_passive)
    assert verdict.answer is Answer.LINEARIZABLE, verdict.explanation


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history(name: str) -> None:
    expiry, history = BAD[name]
    assert check(expiry.explained(history), EMPTY, step, passive=is_passive).answer is Answer.VIOLATION


def test_many_writes_that_may_have_expired_stay_tractable() -> None:
    """Clocks that differ by much leave the end of each value open for long."""
    random_ = random.Random(3)
    history: list[Operation] = []
    now = 0.0
    for number in range(60):
        now += 0.01
        value = b"v%d" % number
        history.append(Operation(now - 0.02, now + 0.02 * random_.random(), put(value), (b"OK",)))
        if number % 3 == 0:
            history.append(Operation(now + 0.021, now + 0.022, GET, (random_.choice([value, None]),)))
        if number % 20 == 0:
            history.append(maybe(now, put(b"u%d" % number)))
    verdict = check(SKEWED.explained(history), EMPTY, step, passive=is_passive)
    assert verdict.answer is Answer.LINEARIZABLE  # so far apart, each may end at once
    assert verdict.visited < 6_000
