"""Which replies bind the cluster to what: answered, refused for good, unknown for ever."""

from __future__ import annotations

import itertools

import pytest

from tests.chaos.clients import Workload
from tests.chaos.expiry import Expiry
from tests.chaos.history import History, KeyGroup, judge, judge_all
from tests.chaos.linearizability import BUDGET, Answer
from tests.chaos.specification import COMMANDS, Action, single, step

GET = single(b"GET", b"k")
SET = single(b"SET", b"k", b"v")


def register(history: History) -> KeyGroup:
    return history.new_group("register", [b"k"])


def answer(history: History, group: KeyGroup, action: Action, *replies: object) -> None:
    history.answered(history.ask(group, action, "c"), replies)


@pytest.mark.parametrize(
    "error",
    [
        "not leader",
        "BUSY too much",
        "NOQUORUM none",
        "SHUTDOWN now",
        "MOVED 7 127.0.0.1:1",
        "LOADING wait",
        "MISCONF full",
        "EXECABORT Transaction discarded because of: MISCONF full",
    ],
)
def test_a_refused_write_must_never_be_read(error: str) -> None:
    history = History()
    group = register(history)
    history.failed(history.ask(group, SET, "c"), error)
    answer(history, group, GET, None)
    assert judge(group, BUDGET).answer is Answer.LINEARIZABLE
    answer(history, group, GET, b"v")
    assert judge(group, BUDGET).answer is Answer.VIOLATION
    assert history.unexpected == []


@pytest.mark.parametrize("outcome", ["UNCERTAIN", "closed", "timeout"])
def test_an_unknown_write_may_be_read_at_any_time_and_not_be_undone(outcome: str) -> None:
    history = History()
    group = register(history)
    asked = history.ask(group, SET, "c")
    if outcome == "UNCERTAIN":
        history.failed(asked, "UNCERTAIN the write may or may not apply")
    else:
        history.lost(asked, f"unknown: {outcome}")
    answer(history, group, GET, None)
    answer(history, group, GET, b"v")
    assert judge(group, BUDGET).answer is Answer.LINEARIZABLE
    answer(history, group, GET, None)
    assert judge(group, BUDGET).answer is Answer.VIOLATION


def test_an_error_that_no_client_should_get_is_told() -> None:
    history = History()
    history.failed(history.ask(register(history), SET, "c"), "ERR internal error")
    assert "ERR internal error" in history.unexpected[0]


def test_a_lost_acknowledged_write_is_found_by_the_last_read() -> None:
    history = History()
    lost, kept = register(history), history.new_group("transaction", [b"a", b"b"])
    answer(history, lost, SET, b"OK")
    answer(history, kept, ((), ((b"SET", b"a", b"1"), (b"SET", b"b", b"2"))), b"OK", b"OK")
    answer(history, lost, single(b"MGET", b"k"), [None])
    answer(history, kept, single(b"MGET", b"a", b"b"), [b"1", b"2"])
    judgement = judge_all(history, BUDGET)
    assert judgement.groups == 2
    assert len(judgement.violations) == 1
    assert "register" in judgement.violations[0]


def test_a_run_of_the_workload_is_linearizable_and_uses_every_command() -> None:
    now = itertools.count()
    history = History(clock=lambda: next(now) / 1e5)  # too quick for any key to expire
    workload = Workload(history, seed=5)
    states: dict[int, object] = {}
    for _ in range(3000):
        group = workload.group()
        action = workload.action(group)
        states[id(group)], replies = step(states.get(id(group), ()), action)  # type: ignore[arg-type]
        answer(history, group, action, *replies)
    judgement = judge_all(history, BUDGET)
    assert (judgement.violations, judgement.undecided) == ([], [])
    assert judgement.groups > 30
    used = {command[0] for group in history.groups for operation in group.operations for command in operation.action[1]}  # type: ignore[index]
    assert used == set(COMMANDS)


def test_a_state_that_is_forgotten_in_a_run_of_the_workload_is_found() -> None:
    for seed in range(30):
        now = itertools.count()
        history = History(clock=lambda now=now: next(now) / 1e5)
        workload = Workload(history, seed)
        states: dict[int, object] = {}
        for _ in range(300):
            group = workload.group()
            action = workload.action(group)
            states[id(group)], replies = step(states.get(id(group), ()), action)  # type: ignore[arg-type]
            answer(history, group, action, *replies)
        forgotten = next(group for group in reversed(history.groups) if states.get(id(group)))
        answer(history, forgotten, single(b"MGET", *forgotten.keys), [None] * len(forgotten.keys))
        assert len(judge_all(history, BUDGET).violations) == 1, f"seed {seed}"


def test_a_read_that_the_lease_does_not_cover_is_held_against_nobody() -> None:
    now = [0.0]
    history = History(promptly=0.08, clock=lambda: now[0])
    group = register(history)
    answer(history, group, SET, b"OK")
    now[0] += 1.0
    slow = history.ask(group, GET, "c")
    now[0] += 0.1
    assert history.answered(slow, [None], 7) == 7
    assert history.outcomes[("register read", "beyond the lease")] == 1
    assert judge(group, BUDGET).answer is Answer.LINEARIZABLE
    prompt = history.ask(group, GET, "c")
    now[0] += 0.07
    history.answered(prompt, [None])
    assert judge(group, BUDGET).answer is Answer.VIOLATION


def test_a_slow_write_and_the_reads_of_the_end_are_judged_under_a_lease_too() -> None:
    now = [0.0]
    history = History(promptly=0.08, clock=lambda: now[0])
    group = register(history)
    write = history.ask(group, SET, "c")
    now[0] += 1.0
    history.answered(write, [b"OK"])
    now[0] += 1.0
    last = history.ask(group, single(b"MGET", b"k"), "last read at id1")
    now[0] += 1.0
    history.answered(last, [[None]], always=True)
    assert judge(group, BUDGET).answer is Answer.VIOLATION


def test_what_restarted_nodes_forgot_of_the_clock_is_not_asked_at_the_end() -> None:
    now = [0.0]
    history = History(clock=lambda: now[0])
    group = history.new_group("expiring", [b"k"])
    answer(history, group, single(b"SET", b"k", b"v", b"PX", b"1000"), b"OK")
    now[0] = 2.0
    answer(history, group, GET, None)
    now[0] = 9.0
    history.answered(history.ask(group, single(b"MGET", b"k"), "last read at id1"), [[b"v"]], always=True)
    assert judge(group, BUDGET).answer is Answer.VIOLATION
    assert judge(group, BUDGET, Expiry(spread=0.5, are_alike=False)).answer is Answer.LINEARIZABLE
