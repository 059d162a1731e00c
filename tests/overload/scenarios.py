"""The scenarios: each takes a directory and its measures, and gives a Report.

The command (python -m tests.overload) runs them at full length; `make test` runs each for a few seconds.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from leto.bench.loop import preload
from leto.clients.readers import LEAST_BYTES, ROUND_BYTES
from leto.config import Address
from leto.replica.proposals import CONGESTED_REQUESTS
from tests.integration.cluster import Node, wait_for
from tests.overload.flood import Flood
from tests.overload.report import Report
from tests.overload.scene import PATIENCE, Scene, timed
from tests.overload.watching import Memory, cpu_seconds, reads, resident_mb, writes

Options = tuple[str, ...]


def flooded(
    directory: Path,
    options: Options,
    *,
    seconds: float = 120.0,
    clients: int = 500,
    pipeline: int = 256,
    writers: int = 20,
) -> Report:
    """Ten times the load and more: closed-loop clients with deep pipelines, and writers that never wait."""
    report = Report("flood")
    with Scene(directory, report, *options) as scene:
        before = scene.capacity(min(2.0, seconds / 5))
        with ExitStack() as stack:
            memory = stack.enter_context(Memory(scene.cluster.nodes))
            probes = {
                "SET of one client": stack.enter_context(writes(scene.leader)),
                "GET of one client": stack.enter_context(reads(scene.leader)),
                "GET at a follower": stack.enter_context(reads(scene.followers[0])),
            }
            closed = stack.enter_context(Flood(port=scene.port, seconds=seconds, clients=clients, pipeline=pipeline))
            eager = stack.enter_context(
                Flood(port=scene.port, seconds=seconds, clients=writers, pipeline=pipeline, kind="open", seed=2)
            )
            outcomes = closed.outcome, eager.outcome
        after = scene.capacity(min(2.0, seconds / 5))
        answered = sum(outcome.rate for outcome in outcomes)
        # Who comes last waits for what waits already, for the round under way and for the next one.
        request_bytes = 100
        round_requests = max(ROUND_BYTES, (clients + writers) * LEAST_BYTES) / request_bytes
        bound = (CONGESTED_REQUESTS + 2 * round_requests) / max(1.0, min(answered, before))
        report.figure("in flight", f"{clients} x {pipeline} requests, and {writers} writers that do not wait")
        report.figure("requests a second", f"{answered:,.0f} answered; {before:,.0f} before, {after:,.0f} after")
        report.figure(
            "a whole pipeline",
            f"p50 {closed.outcome.p50:.2f} s, p99 {closed.outcome.p99:.2f} s, longest {closed.outcome.longest:.2f} s",
        )
        report.figure("waiting for one's turn", f"about {bound:.2f} s by the limits and this rate")
        for what, probe in probes.items():
            scene.expect_prompt(what, probe, 3 * bound + 2.0)
        report.figure("memory", memory.text())
        for node in scene.cluster:
            scene.expect_bounded(memory, node, 300.0, 60.0)
        for outcome in outcomes:
            report.expect(not outcome.errors and not outcome.closed, f"errors {outcome.errors}, {outcome.closed} ends")
        report.expect(closed.outcome.pipelines >= clients / 4, "hardly any pipeline was answered")
        report.expect(after >= before / 2, f"only {after:,.0f} requests a second after it, {before:,.0f} before")
        scene.expect_equal()
        scene.expect_peace()
    return report


def idle(directory: Path, options: Options, *, connections: int = 10_000, seconds: float = 10.0) -> Report:
    """Connections that do nothing, opened as fast as they can be; then each asks once."""
    report = Report("idle")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + 500
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))  # the nodes inherit it
        report.expect(hard >= needed, f"ulimit -n is {hard}: {needed} are needed")
    with Scene(directory, report, "--maxclients", str(connections + 100), *options) as scene, ExitStack() as stack:
        leader = scene.leader
        alone = _idle_cpu(leader, seconds / 2)
        base = resident_mb(leader.pid)
        opened = []
        with reads(leader) as meanwhile, timed() as passed:
            for _ in range(connections):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", scene.port), PATIENCE))
                opened.append(connection)
            for connection in opened:
                connection.sendall(b"PING\r\n")
            answered = sum(connection.recv(64) == b"+PONG\r\n" for connection in opened)
            took = passed()
        report.expect(answered == connections, f"only {answered} of {connections} were answered")
        report.figure("opened", f"{connections} connections in {took:.1f} s, each answered a PING")
        each = (resident_mb(leader.pid) - base) * 1000 / connections
        report.figure("memory", f"{each:.1f} kB a connection; {base:.0f} MB without them")
        report.expect(each <= 20.0, f"a connection takes {each:.1f} kB")
        busy = _idle_cpu(leader, seconds / 2)
        report.figure("CPU of the idle leader", f"{alone:.1f}% of a core without them, {busy:.1f}% with them")
        report.expect(busy <= alone + 5.0, f"they cost {busy - alone:.1f}% of a core while they do nothing")
        with writes(leader) as writing, reads(leader) as reading:
            time.sleep(seconds / 2)
        scene.expect_prompt("GET while they connect", meanwhile, max(5.0, took))
        scene.expect_prompt("SET beside them", writing, 2.0)
        scene.expect_prompt("GET beside them", reading, 2.0)
        with timed() as passed:
            for connection in opened:
                connection.sendall(b"SET a b\r\nGET a\r\n")
            whole = sum(_receive(connection, 12) == b"+OK\r\n$1\r\nb\r\n" for connection in opened)
            report.figure("all at once", f"SET and GET of each answered within {passed():.1f} s")
        report.expect(whole == connections, f"only {whole} of {connections} could write and read")
        scene.expect_peace()
    return report


def large_value(directory: Path, options: Options, *, megabytes: int = 100, times: int = 3) -> Report:
    """A key of 100 MB written, replicated, read back everywhere, and brought to a follower by snapshot."""
    report = Report("large value")
    value = b"0123456789" * (megabytes * 100_000)
    own = ("--trailing-entries", "0", "--segment-bytes", "1mb")  # so that a node that comes back needs a snapshot
    with Scene(directory, report, *own, *options) as scene:
        leader, (follower, other) = scene.leader, scene.followers
        with _others(scene, follower) as quiet:
            time.sleep(2.0)
        with Memory(scene.cluster.nodes) as memory, _others(scene, follower) as meanwhile:
            took = []
            for _ in range(times):
                with timed() as passed:
                    scene.client(leader).set("large", value)
                    took.append(passed())
            time.sleep(0.5)
        report.figure("SET", f"{megabytes} MB in {', '.join(f'{seconds:.1f}' for seconds in took)} s")
        quiet.tell(report, "nothing else")
        meanwhile.tell(report, "SET under way", most=max(took) + 2.0)
        report.figure("memory", memory.text())
        for node in scene.cluster:
            scene.expect_bounded(memory, node, 12.0 * megabytes + 100.0)
        for node in scene.cluster:
            with _others(scene, follower) as meanwhile, timed() as passed:
                same = scene.client(node).get("large") == value
                report.figure(f"GET from {node.id}", f"{passed():.1f} s")
            report.expect(same, f"{node.id} gave another value")
            meanwhile.tell(report, f"GET from {node.id}", most=PATIENCE)
        other.terminate()
        other.forget_data()
        for number in range(3):
            scene.client(leader).set(f"small{number}", "x")
        with _others(scene, follower) as meanwhile, timed() as passed:
            scene.client(leader).execute_command("SNAPSHOT")
            report.figure("snapshot taken", f"in {passed():.1f} s")
        meanwhile.tell(report, "snapshot taken", most=PATIENCE)
        with _others(scene, follower) as meanwhile, timed() as passed:
            other.start(join=leader.address)
            scene.wait_settled()
            report.figure("snapshot sent and installed", f"in {passed():.1f} s")
        meanwhile.tell(report, "snapshot sent", most=PATIENCE)
        report.expect(scene.client(other).get("large") == value, f"{other.id} got another value by snapshot")
        report.expect("installed the leader's snapshot" in other.log(), f"{other.id} was not brought back by snapshot")
        scene.expect_equal()
        scene.expect_peace(restarted=other)
    return report


def unread(
    directory: Path, options: Options, *, seconds: float = 20.0, clients: int = 100, large_mb: int = 20
) -> Report:
    """Clients that ask for much and read nothing, or little at a time."""
    report = Report("unread")
    own = ("--maxmemory-clients", f"{max(20 + clients // 2, 3 * large_mb)}mb")
    with Scene(directory, report, *own, *options) as scene:
        leader = scene.leader
        scene.client(leader).set("large", b"v" * (large_mb * 1_000_000))
        scene.client(leader).set("middling", b"v" * 100_000)
        mute: dict[str, Any] = {"kind": "mute", "command": "get"}
        slow: dict[str, Any] = {"kind": "slow", "command": "get", "sip": 4096, "rest": 0.05}
        plans = {
            f"{large_mb} MB asked, nothing read": mute | {"key": "large", "pipeline": 50},
            "100 kB asked, nothing read": mute | {"key": "middling", "pipeline": 2000},
            "100 bytes written, nothing read": {"kind": "mute", "pipeline": 2000},
            "100 bytes written, on and on, nothing read": {"kind": "deaf", "pipeline": 2000},
            "100 kB asked, on and on, nothing read": mute | {"kind": "deaf", "key": "middling", "pipeline": 2000},
            "100 kB asked, 80 kB/s read": slow | {"key": "middling", "pipeline": 2000},
            f"{large_mb} MB asked, 80 kB/s read": slow | {"key": "large", "pipeline": 10},
        }
        for what, plan in plans.items():
            with (
                Memory(scene.cluster.nodes) as memory,
                writes(leader) as writing,
                reads(leader) as reading,
                Flood(port=scene.port, seconds=seconds, clients=clients, **plan) as under_way,
            ):
                outcome = under_way.outcome
            grown = memory.peak(leader) - memory.first(leader)
            report.figure(what, f"leader +{grown:.0f} MB, {outcome.closed} of {clients} closed by it")
            scene.expect_prompt("  SET beside them", writing, 5.0)
            scene.expect_prompt("  GET beside them", reading, 5.0)
            # What a client has not taken is at most UNREAD_BYTES, what one read makes and a piece that Twisted holds.
            # One that sends on and on is kept more of, and that is bounded for all of them (--maxmemory-clients).
            scene.expect_bounded(memory, leader, 100.0 + clients * 1.5)
        scene.expect_equal()
        scene.expect_peace()
    return report


def stopped(directory: Path, options: Options, *, seconds: float = 60.0, value_bytes: int = 1000) -> Report:
    """A follower that stands still (SIGSTOP) while the others carry as much as they can; then it goes on."""
    report = Report("stopped follower")
    with Scene(directory, report, *options) as scene:
        sleeper = scene.followers[0]
        plan: dict[str, Any] = {"clients": 50, "pipeline": 64, "value_bytes": value_bytes, "keys": 10_000}
        with Flood(port=scene.port, seconds=3.0, **plan) as warming:
            before = warming.outcome.rate
        with Memory(scene.cluster.nodes) as memory, writes(scene.leader) as writing:
            sleeper.pause()
            with Flood(port=scene.port, seconds=seconds, **plan) as under_way:
                outcome = under_way.outcome
        report.figure("requests a second", f"{outcome.rate:,.0f} while it stood still, {before:,.0f} before")
        report.figure("written meanwhile", f"{outcome.answered * value_bytes / 1e6:,.0f} MB")
        scene.expect_prompt("SET of one client", writing, 10.0)
        report.figure("memory", memory.text())
        # Cache of the log (64 MiB), a queue for the sleeper (32 MiB), what is in flight.
        scene.expect_bounded(memory, scene.leader, 300.0, 60.0)
        report.expect(not outcome.errors and not outcome.closed, f"errors {outcome.errors}, {outcome.closed} ends")
        with timed() as passed:
            sleeper.resume()
            commit = int(scene.leader.info()["raft_commit_index"])
            wait_for(lambda: int(sleeper.try_info().get("raft_applied_index", "0")) >= commit, "it caught up", PATIENCE)
            report.figure("caught up", f"within {passed():.1f} s of going on")
        scene.expect_equal()
        scene.expect_peace(restarted=sleeper)
    return report


def behind(
    directory: Path,
    options: Options,
    *,
    entries: int = 1_000_000,
    state_mb: int = 200,
    value_bytes: int = 520,
    seconds: float = 10.0,
) -> Report:
    """A follower misses a million entries and is brought back by snapshot while the leader carries its load.

    Entries are made cheaply: with --max-batch-bytes 1kb a SET of 520 bytes is an entry of its own.
    """
    report = Report("far behind")
    own: Options = ("--max-batch-bytes", "1kb")
    if entries < 500_000:
        own += ("--snapshot-entries", str(entries // 4), "--trailing-entries", "100", "--segment-bytes", "64kb")
    with Scene(directory, report, *own, *options) as scene:
        leader, absent = scene.leader, scene.followers[0]
        preload(Address.parse(leader.address), state_mb * 1000, 1000)
        plan: dict[str, Any] = {"clients": 200, "pipeline": 1, "value_bytes": value_bytes, "keys": 20_000}
        load = Flood(port=scene.port, seconds=7200.0, **plan)
        try:
            wait_for(lambda: scene.client(leader).get("key:00000001"), "the load has begun", PATIENCE)
            healthy = _Rate.over(leader, seconds)
            absent.terminate()
            missed_from = int(leader.info()["raft_last_index"])
            with timed() as passed:
                wait_for(
                    lambda: int(leader.info()["raft_last_index"]) - missed_from >= entries,
                    f"{entries} entries were made",
                    3600.0,
                )
                report.figure("entries missed", f"{entries:,} in {passed():.0f} s")
            two = _Rate.over(leader, seconds)
            with Memory(scene.cluster.nodes) as memory, writes(leader) as writing, timed() as passed:
                absent.start()
                during = _Rate(leader)
                wait_for(lambda: _is_close(leader, absent), f"{absent.id} has caught up under load", 900.0)
                during.end()
                took = passed()
            after = _Rate.over(leader, seconds)
        finally:
            load.stop()
        report.figure("with three nodes", healthy.text())
        report.figure("with two nodes", two.text())
        report.figure("while the third is brought back", during.text())
        report.figure("with three again", after.text())
        report.figure("brought back", f"within {took:.1f} s of its start; a state of {state_mb} MB")
        scene.expect_prompt("SET of one client", writing, 10.0)
        report.figure("memory", memory.text())
        installed = absent.log().count("installed the leader's snapshot")
        report.figure("snapshots it needed", installed)
        report.expect(1 <= installed <= 3, f"it installed {installed} snapshots")
        # Nodes of one machine take each other's cores: then the leader's own cost of a request tells.
        holds = during.a_second >= healthy.a_second * 2 / 3 or during.cost <= max(healthy.cost, two.cost) * 1.5
        report.expect(holds, "the leader lost more than a third of its throughput, and not to its neighbours")
        scene.expect_equal()
        scene.expect_peace(restarted=absent)
    return report


SCENARIOS: dict[str, Callable[..., Report]] = {
    "flood": flooded,
    "idle": idle,
    "value": large_value,
    "unread": unread,
    "stopped": stopped,
    "behind": behind,
}


class _Others:
    """Ordinary clients beside something large: a writer and a reader at the leader, a reader at a follower."""

    def __init__(self, scene: Scene, follower: Node) -> None:
        self._scene = scene
        self._probes = {"SET": writes(scene.leader), "GET": reads(scene.leader), "GET at a follower": reads(follower)}
        self._stack = ExitStack()

    def __enter__(self) -> _Others:
        for probe in self._probes.values():
            self._stack.enter_context(probe)
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)

    def tell(self, report: Report, during: str, most: float = 5.0) -> None:
        for what, probe in self._probes.items():
            self._scene.expect_prompt(f"{what} ({during})", probe, most)


def _others(scene: Scene, follower: Node) -> _Others:
    return _Others(scene, follower)


def _idle_cpu(node: Node, seconds: float) -> float:
    """Percent of a core."""
    used, started = cpu_seconds(node.pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(node.pid) - used) / (time.monotonic() - started) * 100


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


def _commands(node: Node) -> int:
    """Requests that it has taken since its start."""
    return int(node.client(timeout=PATIENCE).info("stats")["total_commands_processed"])


class _Rate:
    """What a node carries from now to end()."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._began = time.monotonic(), _commands(node), cpu_seconds(node.pid)
        self.a_second = 0.0
        self.cost = 0.0  # CPU seconds of the node, a request

    def end(self) -> None:
        began, requests, cpu = self._began
        done = max(1, _commands(self._node) - requests)
        self.a_second = done / (time.monotonic() - began)
        self.cost = (cpu_seconds(self._node.pid) - cpu) / done

    @classmethod
    def over(cls, node: Node, seconds: float) -> _Rate:
        rate = cls(node)
        time.sleep(seconds)
        rate.end()
        return rate

    def text(self) -> str:
        return f"{self.a_second:,.0f} requests a second, {self.cost * 1e6:.0f} us of the leader's CPU each"


def _is_close(leader: Node, follower: Node) -> bool:
    """It has applied all but what a moment brings."""
    index = int(follower.try_info().get("raft_applied_index", "0"))
    info = leader.info()
    lag = int(info["raft_commit_index"]) - index
    return lag < 5000 and bool(index)
