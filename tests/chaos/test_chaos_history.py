"""Which replies bind the cluster to what: answered, refused for good, unknown for ever."""

from __future__ import annotations

import pytest

from tests.chaos.clients import Workload
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
    ["not leader", "BUSY too much", "NOQUORUM none", "SHUTDOWN now", "MOVED 7 127.0.0.1:1", "LOADING wait"],
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
    history = History()
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
        history = History()
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
