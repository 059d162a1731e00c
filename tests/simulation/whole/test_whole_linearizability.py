"""The checker itself: histories known to be linearizable, and known not to be."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from tests.simulation.whole.linearizability import NEVER, UNKNOWN, Event, Model, Undecided, linearization


def register(state, request, output):
    """A register: ("write", value) answers "ok", ("read",) the value, ("add", n) the sum."""
    if request[0] == "write":
        return request[1] if output in ("ok", UNKNOWN) else None
    if request[0] == "add":
        return state + request[1] if output in (state + request[1], UNKNOWN) else None
    return state if output in (state, UNKNOWN) else None


MODEL = Model(0, register)


def write(called, returned, value):
    return Event(called, returned, ("write", value), "ok")


def read(called, returned, value):
    return Event(called, returned, ("read",), value)


def lost(called, value):
    return Event(called, NEVER, ("write", value))


GOOD = {
    "nothing": [],
    "one after another": [write(1, 2, 1), read(3, 4, 1), write(5, 6, 2), read(7, 8, 2)],
    "a read beside a write sees it": [write(1, 4, 1), read(2, 3, 1)],
    "a read beside a write does not see it": [write(1, 4, 1), read(2, 3, 0)],
    "two writes, the readers agree": [write(1, 10, 1), write(2, 9, 2), read(3, 4, 2), read(5, 6, 1)],
    "an unknown write takes effect late": [lost(1, 1), read(2, 3, 0), write(4, 5, 2), read(6, 7, 2), read(8, 9, 1)],
    "an unknown write never takes effect": [lost(1, 1), write(2, 3, 2), read(4, 5, 2), read(6, 7, 2)],
    "sums": [Event(1, 6, ("add", 1), 3), Event(2, 5, ("add", 2), 2), read(7, 8, 3)],
}
BAD = {
    "a stale read": [write(1, 2, 1), read(3, 4, 0)],
    "a read goes back": [write(1, 10, 1), read(2, 3, 1), read(4, 5, 0)],
    "a lost write": [write(1, 2, 1), write(3, 4, 2), read(5, 6, 1)],
    "readers disagree on the order": [write(1, 10, 1), write(2, 9, 2), read(3, 4, 1), read(5, 6, 2), read(7, 8, 1)],
    "an unknown write before its call": [read(1, 2, 1), lost(3, 1)],
    "an unknown write takes effect twice": [lost(1, 1), read(2, 3, 1), write(4, 5, 2), read(6, 7, 1)],
    "a value from nowhere": [write(1, 2, 1), read(3, 4, 7)],
    "a sum counted once for two": [Event(1, 6, ("add", 1), 1), Event(2, 5, ("add", 1), 1)],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_has_an_order(name: str):
    history = GOOD[name]
    order = linearization(history, MODEL)
    assert order is not None
    state = 0
    for event in order:
        state = register(state, event.request, UNKNOWN if event.is_unknown else event.output)
        assert state is not None
    assert {id(event) for event in order} >= {id(event) for event in history if not event.is_unknown}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_has_none(name: str):
    assert linearization(BAD[name], MODEL) is None


def brute_force(history: list[Event]) -> bool:
    """Every order of every choice of the unknown ones."""
    certain = [event for event in history if not event.is_unknown]
    unknown = [event for event in history if event.is_unknown]
    for size in range(len(unknown) + 1):
        for some in itertools.combinations(unknown, size):
            for order in itertools.permutations([*certain, *some]):
                if any(b.returned < a.called for a, b in itertools.combinations(order, 2)):
                    continue
                state = 0
                for event in order:
                    state = register(state, event.request, UNKNOWN if event.is_unknown else event.output)
                    if state is None:
                        break
                else:
                    return True
    return False


def test_it_agrees_with_trying_every_order():
    """Small random histories, good and bad ones among them."""
    random = Random(5)
    verdicts = {True: 0, False: 0}
    for _ in range(400):
        times = random.sample(range(1, 40), 10)
        history = []
        for number in range(5):
            called, returned = sorted(times[2 * number : 2 * number + 2])
            kind = random.choice(["write", "read", "read", "lost"])
            if kind == "write":
                history.append(write(called, returned, random.randint(1, 2)))
            elif kind == "read":
                history.append(read(called, returned, random.randint(0, 2)))
            else:
                history.append(lost(called, random.randint(1, 2)))
        found = linearization(history, MODEL) is not None
        assert found == brute_force(history), history
        verdicts[found] += 1
    assert min(verdicts.values()) > 50, verdicts


def test_a_search_without_end_is_given_up():
    history = [lost(number, number) for number in range(1, 40)] + [read(50, 51, 99)]
    with pytest.raises(Undecided):
        linearization(history, MODEL, budget=1000)
