"""A cluster that is going to be overloaded, and what must hold of it whatever the load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import redis

from tests.integration.cluster import Cluster, Node, Port, wait_for
from tests.overload.flood import flood
from tests.overload.report import Report
from tests.overload.watching import Leadership, Memory, Prober, lateness, later_than, log_offsets, unrest

PATIENCE = 120.0  # seconds; a machine that others keep busy is slow


class Scene:
    """Three nodes with their admin ports. A context manager: leaving it ends them.

    Who leads when it begins must lead when it ends, in the same term, unless the scenario says otherwise.
    """

    def __init__(self, directory: Path, report: Report, *options: str) -> None:
        self.report = report
        self.cluster = Cluster(directory, 0, *options)
        self._admin: dict[str, Port] = {}
        for number in range(1, 4):
            port = Port()
            node = self.cluster.new_node("--admin-listen", f"127.0.0.1:{port.number}", server_id=f"id{number}")
            self._admin[node.id] = port

    def __enter__(self) -> Scene:
        try:
            self._form()
        except BaseException:
            self.cluster.close()
            raise
        self.leader = self.cluster.leader
        self.followers = self.cluster.followers
        self._leadership = Leadership.of(self.cluster)
        self._offsets = log_offsets(self.cluster)
        self._lateness = {node.id: self._looks(node) for node in self.cluster}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cluster.close()
        for port in self._admin.values():
            port.release()

    def _form(self) -> None:
        """As Cluster.form(), with more patience: on a machine that is busy three starts take long."""
        first, *others = self.cluster.nodes
        first.start()
        for node in others:
            node.start(join=first.address)
        self.wait_settled()

    def wait_settled(self) -> None:
        """Until all three vote and have applied what is committed."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.cluster.wait_settled()
                return
            except AssertionError:
                if time.monotonic() > deadline:
                    raise

    @property
    def port(self) -> int:
        """The leader's, for clients."""
        return self.leader.client_port.number

    def client(self, node: Node) -> redis.Redis:
        return node.client(timeout=PATIENCE)

    def expect_peace(self, *, restarted: Node | None = None) -> None:
        """Leader and term are those of the beginning, and no node thought otherwise meanwhile. `restarted`: its own
        lines are its own affair."""
        report = self.report
        now = Leadership.of(self.cluster)
        report.figure(
            "leader and term", f"{now.leader}, {now.term}; before: {self._leadership.leader}, {self._leadership.term}"
        )
        report.expect(now == self._leadership, "the leader or its term has changed")
        lines = [line for line in unrest(self.cluster, self._offsets) if not restarted or restarted.id not in line[:4]]
        report.expect(not lines, f"a node lost its leader: {lines[:3]}")
        late = []
        for node in self.cluster:
            if node is restarted:
                continue
            looks = self._looks(node)
            counts = [later_than(self._lateness[node.id], looks, bound) for bound in ("0.1", "0.5", "1.0")]
            total = int(looks["+Inf"] - self._lateness[node.id]["+Inf"])
            late.append(f"{node.id} {counts[0]}, {counts[1]}, {counts[2]} of {total}")
        report.figure("reactor away for > 0.1, 0.5, 1 s", "; ".join(late))

    def expect_equal(self) -> None:
        """All nodes have the same state at the same index."""
        wait_for(lambda: len({node.applied() for node in self.cluster}) == 1, "all have applied the same", PATIENCE)
        self.cluster.wait_same_state()

    def expect_bounded(self, memory: Memory, node: Node, most_mb: float, still_growing_mb: float | None = None) -> None:
        """It never held more than so many MB above its beginning, nor grows still."""
        grown = memory.peak(node) - memory.first(node)
        self.report.expect(grown <= most_mb, f"{node.id} grew by {grown:.0f} MB, more than {most_mb:.0f}")
        if still_growing_mb is not None:
            growth = memory.growth(node)
            self.report.expect(growth <= still_growing_mb, f"{node.id} still grew, by {growth:.0f} MB, at the end")

    def expect_prompt(self, what: str, prober: Prober, most: float) -> None:
        """An ordinary client was served, each request within `most` seconds."""
        latency = prober.latency
        self.report.figure(what, latency.text())
        self.report.expect(not latency.errors, f"{what}: {latency.errors[:3]}")
        self.report.expect(latency.longest <= most, f"{what}: one took {latency.longest:.1f} s, more than {most:.1f}")

    def capacity(self, seconds: float, times: int = 3, **plan: int) -> float:
        """Requests a second in a load that it carries well: the best of some runs, as others use the machine too."""
        plan = {"clients": 50, "pipeline": 16} | plan
        return max(flood(port=self.port, seconds=seconds, **plan).rate for _ in range(times))

    def _looks(self, node: Node) -> dict[str, float]:
        return lateness(self._admin[node.id].number)


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """How many seconds have passed since then."""
    started = time.monotonic()
    yield lambda: time.monotonic() - started
