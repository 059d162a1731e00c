"""One run of chaos: a cluster, its clients, the nemesis; then peace, and the verdict."""

from __future__ import annotations

import asyncio
import math
import time
import traceback
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.actions import ACTIONS
from tests.chaos.asking import info
from tests.chaos.clients import Client, Disconnected, Workload, read_everything
from tests.chaos.expiry import CLOCKS_AGREE, Expiry
from tests.chaos.history import History, Judgement, judge_all
from tests.chaos.linearizability import BUDGET
from tests.chaos.namespaces import Namespaces
from tests.chaos.nemesis import Nemesis
from tests.chaos.network import Network
from tests.chaos.nodes import ChaosCluster
from tests.chaos.plan import Plan, Setting
from tests.integration.cluster import logs_forgotten_afterwards, wait_for

# Bounds on a machine that is kept busy by other work; what it took is in the report.
FORMING_SECONDS = 120.0
HEALING_SECONDS = 120.0  # from the end of the faults until every node votes and has caught up
LAST_REPLIES_SECONDS = 60.0  # the most patient client gives up long before
MARGIN = 0.1  # of the election timeout, by which a lease ends before another leader may begin (clock_drift)
LEAST_PER_SECOND = 3.0  # answered reads, and answered writes: a cluster that refuses everything does not pass


@dataclass
class Outcome:
    plan: Plan
    seconds: float = 0.0  # under faults
    failures: list[str] = field(default_factory=list)  # empty: passed
    events: list[str] = field(default_factory=list)
    actions: Counter[str] = field(default_factory=Counter)
    operations: dict[str, dict[str, int]] = field(default_factory=dict)  # kind -> outcome -> how many
    reads: int = 0  # answered
    writes: int = 0
    failovers: list[float] = field(default_factory=list)  # seconds from losing the leader to the next write's answer
    longest_silence: float = 0.0  # seconds without an answered write
    healing_seconds: float = 0.0
    terms: int = 0
    resets: int = 0
    drops: int = 0  # directions between two nodes whose packets were dropped
    judgement: Judgement = field(default_factory=Judgement)
    judging_seconds: float = 0.0
    digest: str = ""

    @property
    def passed(self) -> bool:
        return not self.failures

    def as_data(self) -> dict[str, Any]:
        data = asdict(self)
        data["actions"] = dict(self.actions)  # asdict makes pairs of a Counter's items
        data["passed"] = self.passed
        data["command"] = self.plan.command
        data["setting"] = self.plan.setting.text
        return data

    def text(self) -> str:
        """The report for people."""
        ordered = sorted(self.failovers)
        lines = [
            f"seed {self.plan.seed}: {'PASSED' if self.passed else 'FAILED'}, {self.plan.nodes} nodes, "
            f"{self.plan.seconds:g} s of faults, {self.plan.clients} clients, {self.plan.network}, "
            f"{self.plan.setting.text}",
            f"  options     {' '.join(self.plan.setting.options)}",
            "  faults      " + ", ".join(f"{name} {count}" for name, count in sorted(self.actions.items())),
        ]
        for kind, outcomes in sorted(self.operations.items()):
            counts = ", ".join(f"{outcome} {count}" for outcome, count in sorted(outcomes.items()))
            lines.append(f"  {kind:<18}{counts}")
        if ordered:
            lines.append(
                f"  failovers   {len(ordered)}: median {ordered[len(ordered) // 2]:.2f} s, longest {ordered[-1]:.2f} s"
            )
        judged = self.judgement
        lines += [
            f"  silence     {self.longest_silence:.2f} s at most without an acknowledged write",
            f"  healing     whole after {self.healing_seconds:.1f} s, in term {self.terms}; {self.digest}",
            f"  histories   {judged.operations} operations on {judged.groups} groups of keys: "
            f"{len(judged.violations)} violations, {len(judged.undecided)} undecided "
            f"({self.judging_seconds:.1f} s, at most {judged.hardest} configurations)",
        ]
        if not self.passed:
            lines += ["  failures", *(f"    {line}" for failure in self.failures for line in failure.splitlines())]
            lines += ["  what happened", *(f"    {event}" for event in self.events)]
        lines.append(f"  repeat with {self.plan.command}")
        return "\n".join(lines)


def run(plan: Plan, directory: Path) -> Outcome:
    """Run it in `directory` (data and logs stay there). With namespaces the process must have been started inside."""
    outcome = Outcome(plan)
    setting = plan.setting
    network = Network(plan.seed)
    namespaces = Namespaces(plan.seed) if plan.network == "namespaces" else None
    history = History(setting.election_timeout * MARGIN if setting.lease else math.inf)
    cluster = ChaosCluster(
        directory,
        network,
        namespaces,
        *setting.options,
        through_proxies=setting.through_proxies,
        preload=plan.preload if setting.clocks else "",
        small_disks=setting.small_disks,
        planted=plan.planted,
    )
    nemesis = None
    try:
        with logs_forgotten_afterwards():
            for _ in range(plan.nodes):
                cluster.new_node()
            cluster.form(FORMING_SECONDS)
            features = setting.features | ({"namespaces"} if namespaces is not None else set())
            nemesis = Nemesis(cluster, ACTIONS, plan.seed, features, plan.only, last_write=history.last_write)
            _run(plan, cluster, nemesis, network, history, outcome)
    except AssertionError as error:
        outcome.failures.append(str(error) or traceback.format_exc())
    finally:
        cluster.close()
        network.close()
    outcome.drops = namespaces.drops if namespaces is not None else 0
    _look_into_logs(cluster, outcome)
    _judge(history, _expiry(setting, nemesis), outcome)
    return outcome


def _expiry(setting: Setting, nemesis: Nemesis | None) -> Expiry:
    if nemesis is None:
        return CLOCKS_AGREE
    offsets = nemesis.offsets
    lag = setting.election_timeout if setting.lease else 0.0
    return Expiry(offsets.spread, lag, offsets.are_alike, tuple(nemesis.starts))


def _run(
    plan: Plan, cluster: ChaosCluster, nemesis: Nemesis, network: Network, history: History, outcome: Outcome
) -> None:
    workload = Workload(history, plan.seed, plan.kinds)
    addresses = [(node.reached_at, node.client_port.number) for node in cluster.nodes]
    clients = [Client(number, addresses, workload, plan.seed, plan.think) for number in range(plan.clients)]
    tasks = [asyncio.run_coroutine_threadsafe(client.run(), network.loop) for client in clients]
    start = time.monotonic()
    try:
        nemesis.run(plan.seconds)
    finally:
        ended = time.monotonic()
        outcome.seconds = ended - start
        outcome.events = [event.line(start) for event in nemesis.events]
        outcome.actions = nemesis.counts
        outcome.failures += nemesis.faults
        nemesis.faults.clear()
        nemesis.heal()
        for client in clients:
            client.stop()
        for task in tasks:
            task.result(LAST_REPLIES_SECONDS)  # raises what a client did not expect
        _measure(nemesis, history, outcome, start, ended)
    _wait_whole(cluster, nemesis)
    outcome.healing_seconds = time.monotonic() - ended
    outcome.failures += nemesis.faults
    outcome.resets = network.resets
    outcome.terms = int(info(cluster.leader).get("raft_term", "0"))
    index, digest = cluster.wait_same_state(HEALING_SECONDS)
    outcome.digest = f"digest {digest} at index {index} everywhere"
    for node in cluster.nodes:
        reading = read_everything((node.reached_at, node.client_port.number), history, f"last read at {node.id}")
        try:
            asyncio.run_coroutine_threadsafe(reading, network.loop).result(60)
        except (Disconnected, TimeoutError, OSError) as error:
            outcome.failures.append(f"the last reads at {node.id} failed: {error or type(error).__name__}")


def _wait_whole(cluster: ChaosCluster, nemesis: Nemesis) -> None:
    """Until every node votes, follows one leader, and has applied what it committed."""
    expected = {node.id for node in cluster.nodes}

    def whole() -> bool:
        nemesis.heal()
        if nemesis.faults:
            return True  # told as a failure
        leader = cluster.agreed_leader(cluster.nodes)
        if leader is None:
            return False
        told = info(leader)
        if set(told.get("raft_voters", "").split(",")) != expected or told.get("raft_outgoing"):
            return False
        commit = int(told["raft_commit_index"])
        return all(int(info(node).get("raft_applied_index", "0")) >= commit for node in cluster.nodes)

    wait_for(whole, "every node votes, agrees on the leader and has caught up", HEALING_SECONDS)


def _measure(nemesis: Nemesis, history: History, outcome: Outcome, start: float, ended: float) -> None:
    acknowledged = sorted(history.acknowledged)
    completions = sorted(completed for _, completed in acknowledged if start <= completed <= ended)
    around = [start, *completions, ended]
    outcome.longest_silence = max(later - earlier for earlier, later in zip(around, around[1:], strict=False))
    for event in nemesis.events:
        if event.takes_leader:
            following = [completed for invoked, completed in acknowledged if invoked >= event.at]
            if following:
                outcome.failovers.append(round(min(following) - event.at, 3))
    for (kind, result), count in history.outcomes.items():
        outcome.operations.setdefault(kind, {})[result] = count
    outcome.reads = sum(outcomes.get("ok", 0) for kind, outcomes in outcome.operations.items() if "read" in kind)
    outcome.writes = sum(outcomes.get("ok", 0) for kind, outcomes in outcome.operations.items() if "write" in kind)
    least = LEAST_PER_SECOND * outcome.plan.seconds
    for what, count in (("reads", outcome.reads), ("writes", outcome.writes)):
        if count < least:
            outcome.failures.append(f"only {count} {what} were answered, fewer than {least:g}: this tests nothing")


def _look_into_logs(cluster: ChaosCluster, outcome: Outcome) -> None:
    for node in cluster.nodes:
        text = node.log()
        place = text.find("Traceback")
        if place >= 0:
            outcome.failures.append(f"{node.id} logged a traceback:\n{text[max(0, place - 500) : place + 2500]}")


def _judge(history: History, expiry: Expiry, outcome: Outcome) -> None:
    started = time.monotonic()
    outcome.judgement = judge_all(history, BUDGET, expiry)
    outcome.judging_seconds = time.monotonic() - started
    outcome.failures += [f"not linearizable: {violation}" for violation in outcome.judgement.violations]
    outcome.failures += [f"undecided: {undecided}" for undecided in outcome.judgement.undecided]
    outcome.failures += history.unexpected[:20]
