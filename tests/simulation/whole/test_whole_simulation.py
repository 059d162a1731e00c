"""The simulation of whole nodes itself: that it reaches what it is for, repeats itself, and bites."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred

from tests.simulation.__main__ import main
from tests.simulation.lanes import MODES
from tests.simulation.plan import Plan, SimulationFailed
from tests.simulation.runs import bugs_of, run, seeds_until_found
from tests.simulation.whole.process import Gate
from tests.simulation.whole.timeline import ProcessClock, Timeline

ROOT = Path(__file__).parents[3]
FOUND_WITHIN = 2000  # seeds, for every planted bug
SLOW = {  # dozens to hundreds of seeds; the others take a few
    "lost-changes-of-members-wait",
    "overwritten-configuration-stays",
    "proposals-outlive-leadership",
    "read-without-a-round",
    "snapshot-loses-its-configuration",
}

LONG = (pytest.mark.soak, pytest.mark.timeout(900))


def command(*arguments: str, hash_seed: str = "random") -> subprocess.CompletedProcess[str]:
    """python -m tests.simulation with these arguments, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=600,  # a bound for a hang, also on a busy machine
        check=False,
    )


def test_a_run_reaches_what_it_is_for():
    """The slice is no idle run: terms change, operations are answered and refused, nodes die, join and snapshot."""
    total: Counter[str] = Counter()
    for seed in range(100, 108):
        outcome = run(Plan(seed, 3, 3000))
        total.update(outcome.counts)
        total["terms"] += outcome.terms
    for name, least in {"terms": 12, "answered": 300, "NotLeader": 30, "down": 8, "join": 2, "snapshot": 2}.items():
        assert total[name] >= least, total


def test_flipped_bits_are_met_with_a_refusal_and_the_cluster_goes_on():
    """Over some seeds that flip bits, nodes refuse to start, have their disks replaced, and come back."""
    total: Counter[str] = Counter()
    for seed in range(40):
        total.update(run(Plan(seed, 3, 3000)).counts)
    assert total["flips"] >= 5 and total["refused to start"] >= 2, total


def test_members_of_two_versions_come_to_the_later_ones_level():
    """Where members are replaced: its command is refused, and once all run that version it is answered."""
    total: Counter[str] = Counter()
    for seed in (4, 5, 17, 23, 32):
        total.update(run(Plan(seed, 3, 3000)).counts)
    assert total["upgraded"] >= 5 and total["RequestRefused"] >= 10 and total["of the later level"] >= 10, total


def test_a_peers_question_gets_no_answer_from_a_process_that_died_over_it():
    process = SimpleNamespace(alive=True, deliver=lambda function, *args: function(*args))
    questions: list[Deferred[bytes]] = []
    listener = SimpleNamespace(peer_request=lambda sender, body: questions.append(Deferred()) or questions[-1])
    gate = Gate(process, listener)  # type: ignore[arg-type]
    heard: list[bytes] = []
    for _ in range(2):
        gate.peer_request("n1", b"?").addCallback(heard.append)
    questions[0].callback(b"in time")
    process.alive = False
    questions[1].callback(b"too late")
    assert heard == [b"in time"]


@pytest.mark.parametrize("rate", [0.98, 0.9937, 1.0, 1.0113, 1.02])
def test_a_timer_set_again_for_what_is_left_ends_whatever_the_rounding(rate: float):
    draw = Random(rate)
    for _ in range(300):
        timeline = Timeline()
        timeline.rightNow = draw.uniform(0.0, 1000.0)
        clock = ProcessClock(timeline, rate, lambda call: call.run())
        timeline.rightNow += draw.random()
        deadline = clock.seconds() + draw.random()

        def again(clock: ProcessClock = clock, deadline: float = deadline) -> None:
            if clock.seconds() < deadline:
                clock.callLater(deadline - clock.seconds(), again)

        again()
        timeline.advance(2.0, 10)
        assert timeline.events <= 3 and not timeline.getDelayedCalls()


def test_the_same_seed_gives_the_same_trace():
    """Event for event."""
    first, second = (run(Plan(7, 3, 1500)) for _ in range(2))
    assert first == second
    assert run(Plan(8, 3, 1500)).trace != first.trace


def test_whichever_lanes_are_taken_the_trace_is_the_same():
    """Event for event: all of them, none, some, by some nodes, or now and then."""
    for seed in range(20, 23):
        assert len({run(Plan(seed, 3, 1000), mode=mode).trace for mode in MODES}) == 1, seed


@pytest.mark.parametrize("core", [[], ["--core"]])
@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_seed_gives_the_same_trace_in_another_process(hash_seed: str, core: list[str]):
    """Also under another PYTHONHASHSEED: nothing depends on the order of a set or on memory addresses."""
    here = run(Plan(11, 5, 1500, core=bool(core)))
    ran = command("--seed", "11", "--nodes", "5", "--steps", "1500", *core, hash_seed=hash_seed)
    assert here.trace in ran.stdout, ran.stdout + ran.stderr


def test_the_command_runs_many_seeds_and_sums_them_up():
    """In several processes, with progress on standard error and the figures at the end."""
    ran = command("--seeds", "12", "--first", "50", "--nodes", "1,3,7", "--steps", "300", "--jobs", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^12 runs, 0 failed; \d\.\d\d h of simulated time, \d+ events", ran.stdout), ran.stdout


def test_a_failure_names_the_command_that_replays_it():
    """And shows the last events; run again by that command, it fails in the same way."""
    ran = command(
        "--seeds", "3", "--nodes", "3", "--steps", "1000", "--bug", "read-without-confirmation", "--jobs", "1"
    )
    assert ran.returncode == 1
    replay = re.search(r"replay: python -m tests.simulation (.*)", ran.stdout)
    assert replay is not None and "last events" in ran.stdout, ran.stdout
    sentence = re.search(r"FAILED seed \d+: (.*)", ran.stdout)
    assert sentence is not None
    again = command(*replay[1].split())
    assert again.returncode == 1
    assert f"FAILED: {sentence[1]}" in again.stdout


@pytest.mark.parametrize("wrong", [["--bug", "no-such-bug"], ["--nodes", "8"], ["--core", "--bug", "vote-not-synced"]])
def test_an_unknown_bug_or_size_is_refused(wrong: list[str]):
    with pytest.raises(SystemExit) as ended:
        main(wrong)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=LONG if n in SLOW else ()) for n in bugs_of(core=False).names()]
)
def test_planted_bugs_are_found(name: str):
    """The simulation bites: each bug that is planted is found, and for what it is."""
    seeds, sentence = seeds_until_found(name, FOUND_WITHIN, steps=2000)
    assert re.search(bugs_of(core=False).shows_as(name), sentence), f"after {seeds} seeds: {sentence}"


def test_a_failure_keeps_its_plan():
    """What a caller of run() gets."""
    with pytest.raises(SimulationFailed) as failed:
        run(Plan(0, 3, 1000, "acknowledge-before-durable"))
    assert failed.value.plan.seed == 0
    assert failed.value.sentence in str(failed.value)
