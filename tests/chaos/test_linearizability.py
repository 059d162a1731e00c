"""The checker of histories: it accepts what some order explains, and nothing else."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.chaos.linearizability import UNKNOWN, Answer, Operation, check
from tests.chaos.specification import EMPTY, Action, append_only, is_passive, single, step

GET = single(b"GET", b"k")
INCR = single(b"INCR", b"k")


def set_(value: bytes, *options: bytes) -> Action:
    return single(b"SET", b"k", value, *options)


def did(begin: float, end: float, action: Action, *replies: Any, after: int = -1) -> Operation:
    return Operation(begin, end, action, tuple(replies), after)


def maybe(begin: float, action: Action) -> Operation:
    return Operation(begin, UNKNOWN, action)


GOOD: dict[str, list[Operation]] = {
    "nothing": [],
    "a missing key": [did(0, 1, GET, None)],
    "one after the other": [did(0, 1, set_(b"1"), b"OK"), did(2, 3, GET, b"1")],
    "a read during a write sees the old value": [did(0, 5, set_(b"1"), b"OK"), did(1, 2, GET, None)],
    "a read during a write sees the new value": [did(0, 5, set_(b"1"), b"OK"), did(1, 2, GET, b"1")],
    "two writes at once, in the order that the reads saw": [
        did(0, 5, set_(b"1"), b"OK"),
        did(0, 5, set_(b"2"), b"OK"),
        did(1, 2, GET, b"2"),
        did(3, 4, GET, b"1"),
    ],
    "an unknown write that never took effect": [maybe(0, set_(b"1")), did(1, 2, GET, None), did(8, 9, GET, None)],
    "an unknown write that took effect late": [
        maybe(0, set_(b"1")),
        did(1, 2, GET, None),
        did(3, 4, set_(b"2"), b"OK"),
        did(5, 6, GET, b"1"),
    ],
    "an unknown increment between two known ones": [
        did(0, 1, INCR, 1),
        maybe(2, INCR),
        did(3, 4, INCR, 3),
    ],
    "an unknown increment after two known ones": [
        did(0, 1, INCR, 1),
        maybe(2, INCR),
        did(3, 4, INCR, 2),
        did(5, 6, GET, b"3"),
    ],
    "NX loses against a write at once": [
        did(0, 5, set_(b"1"), b"OK"),
        did(0, 5, set_(b"2", b"NX"), None),
        did(6, 7, GET, b"1"),
    ],
    "XX after a delete": [
        did(0, 1, set_(b"1"), b"OK"),
        did(2, 3, single(b"DEL", b"k"), 1),
        did(4, 5, set_(b"2", b"XX"), None),
        did(6, 7, GET, None),
    ],
    "SET with GET": [did(0, 1, set_(b"1", b"GET"), None), did(2, 3, set_(b"2", b"GET"), b"1")],
    "a transaction, whole": [
        did(0, 5, ((), ((b"SET", b"a", b"1"), (b"SET", b"b", b"1"))), b"OK", b"OK"),
        did(1, 2, single(b"MGET", b"a", b"b"), [None, None]),
        did(3, 4, single(b"MGET", b"a", b"b"), [b"1", b"1"]),
    ],
    "a watched key that stood": [
        did(0, 1, set_(b"1"), b"OK"),
        did(2, 3, (((b"k", b"1"),), ((b"SET", b"k", b"2"),)), b"OK"),
    ],
    "a pipeline in its order": [
        did(0, 5, set_(b"1"), b"OK"),
        did(0, 5, GET, b"1", after=0),
    ],
    "a pipeline whose first command may be lost": [
        maybe(0, set_(b"1")),
        did(0, 5, GET, None, after=0),
    ],
}

BAD: dict[str, list[Operation]] = {
    "a value nobody wrote": [did(0, 1, GET, b"1")],
    "a lost write": [did(0, 1, set_(b"1"), b"OK"), did(2, 3, GET, None)],
    "a stale read": [did(0, 1, set_(b"1"), b"OK"), did(2, 3, set_(b"2"), b"OK"), did(4, 5, GET, b"1")],
    "reads that go back": [
        did(0, 9, set_(b"1"), b"OK"),
        did(1, 2, GET, b"1"),
        did(3, 4, GET, None),
    ],
    "reads that go back to an unknown write": [
        maybe(0, set_(b"1")),
        did(1, 2, set_(b"2"), b"OK"),
        did(3, 4, GET, b"1"),
        did(5, 6, GET, b"2"),
    ],
    "an unknown write that took effect twice": [
        maybe(0, set_(b"1")),
        did(1, 2, GET, b"1"),
        did(3, 4, set_(b"2"), b"OK"),
        did(5, 6, GET, b"1"),
    ],
    "an unknown write seen before it was asked for": [did(0, 1, GET, b"1"), maybe(2, set_(b"1"))],
    "a refused write that is read": [did(0, 1, set_(b"1"), b"OK"), did(2, 3, GET, b"refused")],
    "an increment applied twice": [did(0, 1, INCR, 1), did(2, 3, INCR, 3)],
    "an unknown increment applied twice": [maybe(0, INCR), did(1, 2, GET, b"2")],
    "two increments that got the same number": [did(0, 5, INCR, 1), did(0, 5, INCR, 1)],
    "NX that succeeded twice": [
        did(0, 5, set_(b"1", b"NX"), b"OK"),
        did(0, 5, set_(b"2", b"NX"), b"OK"),
    ],
    "half a transaction": [
        did(0, 9, ((), ((b"SET", b"a", b"1"), (b"SET", b"b", b"1"))), b"OK", b"OK"),
        did(1, 2, single(b"MGET", b"a", b"b"), [b"1", None]),
    ],
    "half an unknown transaction": [
        maybe(0, ((), ((b"SET", b"a", b"1"), (b"SET", b"b", b"1")))),
        did(1, 2, single(b"MGET", b"a", b"b"), [b"1", None]),
    ],
    "a transaction in spite of what it watched": [
        did(0, 1, set_(b"1"), b"OK"),
        did(2, 3, set_(b"2"), b"OK"),
        did(4, 5, (((b"k", b"1"),), ((b"SET", b"k", b"3"),)), b"OK"),
    ],
    "an append undone": [
        did(0, 1, single(b"APPEND", b"k", b"a"), 1),
        did(2, 3, single(b"APPEND", b"k", b"b"), 1),
    ],
    "a pipeline out of order": [
        did(0, 5, set_(b"1"), b"OK"),
        did(0, 5, GET, None, after=0),
    ],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history(name: str) -> None:
    assert check(GOOD[name], EMPTY, step).answer is Answer.LINEARIZABLE


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history(name: str) -> None:
    verdict = check(BAD[name], EMPTY, step)
    assert verdict.answer is Answer.VIOLATION
    assert "no order of operations explains #" in verdict.explanation


def test_too_little_budget_is_no_verdict() -> None:
    history = [did(0, 5, set_(b"%d" % i), b"OK") for i in range(12)] + [did(6, 7, GET, b"none")]
    assert check(history, EMPTY, step, budget=50).answer is Answer.UNDECIDED


def test_many_unknown_writes_stay_tractable() -> None:
    history = [maybe(i, set_(b"u%d" % i)) for i in range(40)]
    history += [did(100 + 2 * i, 101 + 2 * i, set_(b"k%d" % i), b"OK") for i in range(40)]
    history += [did(200, 201, GET, b"u7"), did(202, 203, GET, b"u30")]
    verdict = check(history, EMPTY, step)
    assert verdict.answer is Answer.LINEARIZABLE
    assert verdict.visited < 2000


def test_appends_are_pruned_by_what_is_read_last() -> None:
    history = [maybe(i, single(b"APPEND", b"k", b"<%d>" % i)) for i in range(14)]
    final = b"".join(b"<%d>" % i for i in (13, 2, 7, 0, 1, 12, 11))
    history += [did(50, 51, GET, final)]
    verdict = check(history, EMPTY, step, feasible=append_only([final]))
    assert verdict.answer is Answer.LINEARIZABLE
    assert verdict.visited < 1000
    twice = [*history[:-1], did(50, 51, GET, b"<1><1>")]
    assert check(twice, EMPTY, step, feasible=append_only([b"<1><1>"])).answer is Answer.VIOLATION


def by_brute_force(history: Sequence[Operation]) -> bool:
    """Some order of some choice of the operations, all the known ones among them, keeps time and explains all."""
    known = [i for i, operation in enumerate(history) if operation.is_known]
    unknown = [i for i, operation in enumerate(history) if not operation.is_known]
    for size in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, size):
            if any(_explains(history, order) for order in itertools.permutations([*known, *chosen])):
                return True
    return False


def _explains(history: Sequence[Operation], order: Sequence[int]) -> bool:
    for position, later in enumerate(order):
        if any(history[later].completed < history[earlier].invoked for earlier in order[:position]):
            return False
    state = EMPTY
    for i in order:
        state, result = step(state, history[i].action)
        if history[i].is_known and result != history[i].result:
            return False
    return True


def a_history(random: random.Random) -> list[Operation]:
    """Small, plausible, and wrong in about half of the cases."""
    state, history = EMPTY, []
    for number in range(random.randint(2, 6)):
        begin = float(random.randint(0, 8))
        action = random.choice(
            [GET, GET, INCR, single(b"DEL", b"k"), single(b"SET", b"k", b"%d" % number), set_(b"9", b"NX")]
        )
        if random.random() < 0.25 and action != GET:
            history.append(maybe(begin, action))
            if random.random() < 0.5:
                state, _ = step(state, action)
            continue
        state, result = step(state, action)
        if random.random() < 0.15:
            result = (random.choice([None, b"1", b"9", 1, 2, b"OK"]),)
        history.append(Operation(begin, begin + random.randint(0, 4), action, result))
    return history


def test_it_agrees_with_trying_every_order() -> None:
    answers = {True: 0, False: 0}
    for seed in range(400):
        history = a_history(random.Random(seed))
        expected = by_brute_force(history)
        answers[expected] += 1
        for passive in (None, is_passive):
            verdict = check(history, EMPTY, step, passive=passive)
            assert (verdict.answer is Answer.LINEARIZABLE) == expected, f"seed {seed}: {history}"
    assert min(answers.values()) > 80, f"the histories are too much alike: {answers}"


def test_a_long_history_is_judged_quickly() -> None:
    """A simulated register under eight clients: the load that a run of chaos brings, times ten."""
    random_ = random.Random(1)
    history, state, now = [], EMPTY, 0.0
    for number in range(3000):
        now += 0.01
        action = GET if random_.random() < 0.5 else set_(b"%d" % number)
        state, result = step(state, action)
        history.append(Operation(now - 0.05 * random_.random(), now + 0.05 * random_.random(), action, result))
    assert check(history, EMPTY, step).answer is Answer.LINEARIZABLE
    broken = history[:1500] + [did(now + 1, now + 2, GET, b"never")]
    assert check(broken, EMPTY, step).answer is Answer.VIOLATION
