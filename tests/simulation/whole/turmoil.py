"""What happens to a simulated world: the faults of machines, disks, networks and clocks, and what operators do."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from leto.errors import (
    ConfigurationRefused,
    NothingToSnapshot,
    NotLeader,
    OutcomeUnknown,
    Stopping,
    StorageError,
    TransferFailed,
)
from leto.twins.disk import PowerLost
from tests.simulation.whole.deadlines import Deadlines, Order
from tests.simulation.whole.host import Host
from tests.simulation.whole.oracle import Oracle
from tests.simulation.whole.process import Process
from tests.simulation.whole.timeline import Timeline
from tests.simulation.whole.wires import Network, Weather

MAX_HOSTS = 7
EXPECTED = (NotLeader, ConfigurationRefused, OutcomeUnknown, TransferFailed, NothingToSnapshot, Stopping, PowerLost)


class Turmoil:
    """The part of a World that acts on it."""

    random: Random
    hosts: dict[str, Host]
    network: Network
    timeline: Timeline
    oracle: Oracle
    counts: Counter[str]
    deadlines: Deadlines
    orders: dict[str, Process]  # operators' commands that have no answer yet, and who was asked
    lease: bool
    true_clocks: bool
    wrong_clock: str
    quiet_network: bool
    record: Callable[[str, str], None]
    leader: Callable[[], Host | None]
    _add_host: Callable[[str], Host]
    _settle_disk: Callable[[Host], None]
    _pick: Callable[[list[Host]], Host | None]
    _leader_or_any: Callable[[float], Host | None]

    # faults ----------------------------------------------------------------------------------------------------------

    def _nothing(self) -> None:
        """Clients alone."""

    def _crash(self) -> None:
        host = self._leader_or_any(0.4)
        if host is not None:
            self.record("op", f"crash {host.name}")
            host.crash(power=self.random.random() < 0.7, noticed=self.random.random() < 0.5)

    def _power_cut(self) -> None:
        self.record("op", "power cut")
        for host in self.hosts.values():
            host.crash(power=True, noticed=True)

    def _arm_crash(self) -> None:
        host = self._leader_or_any(0.5)
        if host is not None and host.process is not None:
            if self.random.random() < 0.7:
                host.process.crash_at_operation = self.random.randint(1, 30)
            else:
                host.process.crash_at_send = self.random.randint(1, 30)

    def _fail_disk(self) -> None:
        host = self._leader_or_any(0.4)
        if host is not None and host.process is not None:
            if self.random.random() < 0.5:
                host.process.fails_to_sync = True
            else:
                host.process.fail_at_operation = (self.random.randint(1, 30), errno.EIO)

    def _fill_disk(self) -> None:
        host = self._leader_or_any(0.4)
        if host is not None and host.process is not None:
            self.record("op", f"{host.name}'s disk is nearly full")
            used = sum(len(data) for data in host.disk.files().values())
            host.process.failed_disk = True
            host.disk.capacity = used + self.random.choice([0, 1000, 10_000, 50_000, 200_000])

    def _restart(self) -> None:
        for host in self.hosts.values():
            if host.process is None and not host.retired and self.random.random() < 0.5:
                self.record("op", f"start {host.name}")
                self._settle_disk(host)
                host.disk_hangs = False
                host.start_or_replace()

    def _pause(self) -> None:
        host = self._leader_or_any(0.5)
        if host is not None and host.process is not None and not host.process.paused:
            freeze = not self.lease and self.random.random() < 0.5
            if freeze:
                self.oracle.clock_lost()
            self.record("op", f"pause {host.name}{' (suspended)' if freeze else ''}")
            host.process.pause(freeze)

    def _resume(self) -> None:
        for host in self.hosts.values():
            if host.process is not None and host.process.paused and self.random.random() < 0.7:
                self.record("op", f"resume {host.name}")
                host.process.resume(self.random if self.random.random() < 0.3 else None)

    def _partition(self) -> None:
        names = list(self.hosts)
        leader = self.leader()
        kind = self.random.randrange(4)
        if kind == 0:
            left = [name for name in names if self.random.random() < 0.5]
            self.network.partition(left, [name for name in names if name not in left])
        elif kind == 1 and leader is not None:
            self.network.partition([leader.name], [name for name in names if name != leader.name])
        elif kind == 2 and leader is not None:
            for name in names:  # one way: nobody hears it, or it hears nobody
                if self.random.random() < 0.8:
                    self.network.cut(leader.name, name)
        else:
            for _ in range(self.random.randint(1, 2 * len(names))):
                self.network.cut(self.random.choice(names), self.random.choice(names))
        self.record("op", f"cut {' '.join(f'{a}>{b}' for a, b in self.network.cuts)}")

    def _heal(self) -> None:
        if self.network.cuts:
            self.record("op", "heal")
            self.network.heal_all()

    def _reset(self) -> None:
        one, other = self.random.choice(list(self.hosts)), self.random.choice(list(self.hosts))
        self.record("op", f"reset {one} {other}")
        self.network.reset(one, other)

    def _hang_disk(self) -> None:
        host = self._leader_or_any(0.5)
        if host is not None:
            self.record("op", f"{host.name}'s disk hangs")
            host.disk_hangs = True

    def _free_disk(self) -> None:
        host = self._pick([host for host in self.hosts.values() if host.disk_hangs])
        if host is not None:
            self.record("op", f"{host.name}'s disk goes on")
            self._settle_disk(host)
            host.free_disk()

    def _weather(self) -> None:
        draw = self.random
        if self.quiet_network:
            self.network.set_weather(Weather())
            return
        weather = Weather(
            drop=draw.choice([0.0, 0.0, 0.05, 0.3]),
            duplicate=draw.choice([0.0, 0.05, 0.3]),
            late=draw.choice([0.0, 0.01, 0.1]),
            delay=draw.choice([(0.0, 0.001), (0.0, 0.02), (0.0, 0.2)]),
            ordered=draw.random() < 0.5,
        )
        self.network.set_weather(weather)
        self.record("op", f"{weather}")

    def _jump_wall_clock(self) -> None:
        host = self._pick(list(self.hosts.values()))
        if host is not None and self._is_wrong(host):
            host.wall_offset += self.random.choice([-3600.0, -0.5, 0.5, 3600.0])
            self.record("op", f"{host.name}'s wall clock jumps to {host.wall_clock():.3f}")

    def _glitch_wall_clock(self) -> None:
        """It is an hour off for a second."""
        host = self.hosts.get(self.wrong_clock) or self._leader_or_any(0.7)
        if host is not None and self._is_wrong(host):
            offset = self.random.choice([-3600.0, 3600.0])
            self.record("op", f"{host.name}'s wall clock is {offset:+.0f} s off for a second")
            host.shift_wall_clock(offset)
            self.timeline.callLater(1.0, host.shift_wall_clock, -offset)

    def _is_wrong(self, host: Host) -> bool:
        """Whether its clocks may be wrong."""
        return host.name == self.wrong_clock if self.wrong_clock else not self.true_clocks

    # operators -------------------------------------------------------------------------------------------------------

    def _ask(self, host: Host | None, what: str, function: Callable[[Any], Deferred[Any]]) -> None:
        """An operator's command at that node."""
        process = host.process if host is not None else None
        if host is None or process is None or process.replica is None:
            return
        self.record("op", f"{what} at {host.name}")
        self.orders[what] = process
        process.deliver(self._order, what, process, function)

    def _order(self, what: str, process: Process, function: Callable[[Any], Deferred[Any]]) -> None:
        order = self.deadlines.ordered(what, process)
        maybeDeferred(function, process.replica).addBoth(self._asked, what, order, process)

    def _asked(self, result: Any, what: str, order: Order, process: Any) -> None:
        self.deadlines.answered(order)
        if self.orders.get(what) is process:
            del self.orders[what]
        if not process.alive:
            return
        if not isinstance(result, Failure):
            self.counts[what.split()[0]] += 1
        elif result.check(*EXPECTED) is None and not (result.check(StorageError) and process.failed_disk):
            self.oracle.fail(f"{what} fails: {result.getTraceback()}")

    def _snapshot(self) -> None:
        host = self._pick([host for host in self.hosts.values() if host.is_up])
        self._ask(host, "snapshot", lambda replica: replica.snapshot())

    def _transfer(self) -> None:
        target = self.random.choice([None, *self.hosts])
        self._ask(self.leader(), f"transfer to {target}", lambda replica: replica.transfer(target))

    def _join(self) -> None:
        """A new host joins, or one that was removed comes back with an empty disk."""
        gone = [h for h in self.hosts.values() if h.retired and h.process is None and h.name not in self._named()]
        host = self._pick(gone)
        if host is not None:
            host.wipe()
        elif len(self.hosts) < MAX_HOSTS:
            host = self._add_host("10.0.0.1:5001")
        if host is not None:
            self.record("op", f"{host.name} wants to join")
            host.start()

    def _remove(self) -> None:
        if not self._wiped():
            name = self.random.choice(list(self.hosts))
            self._ask(self._leader_or_any(0.9), f"remove {name}", lambda replica: replica.remove_member(name))

    def _promote_or_demote(self) -> None:
        if self._wiped():
            return
        name = self.random.choice(list(self.hosts))
        if self.random.random() < 0.6:
            self._ask(self._leader_or_any(0.9), f"promote {name}", lambda replica: replica.promote(name))
        else:
            self._ask(self._leader_or_any(0.9), f"demote {name}", lambda replica: replica.demote(name))

    def _wipe(self) -> None:
        """A disk is lost and replaced by an empty one."""
        host = self._expendable()
        if host is not None:
            self._once_down(host, self._replace)

    def _replace(self, host: Host) -> None:
        self.record("op", f"{host.name} loses its disk")
        host.wipe()
        host.start()

    def _once_down(self, host: Host, act: Callable[[Host], None]) -> None:
        """Do something to a machine's disk, after its process's death."""
        if host.process is not None:
            host.crash(power=self.random.random() < 0.5, noticed=self.random.random() < 0.5)
            self.timeline.settle()
        act(host)

    def _expendable(self) -> Host | None:
        """A host that does not lead and may lose its disk: one at a time, while a quorum of others can give it back.

        No change of members may be under way, at whichever node: a voter's removal that one disk still holds makes
        the loss of another the second loss at once."""
        leader = self.leader()
        process = leader.process if leader is not None else None
        if leader is None or process is None or process.paused or self._wiped() or not self.oracle.configurations:
            return None
        committed = self.oracle.configurations[-1][1]
        if len(committed.voter_ids()) < 3 or not leader.replica.node.can_change_configuration:
            return None
        if any(asked.alive for asked in self.orders.values()):
            return None
        if any(self.oracle.configuration_of(host) != committed for host in self.hosts.values() if not host.retired):
            return None
        return self._pick([host for host in self.hosts.values() if host is not leader and host.name in committed.ids()])

    def _rot(self) -> None:
        """Bits flip on a disk at rest. Its node then refuses to start, or starts with all that it ever vouched for;
        once it has refused, its operator replaces the disk."""
        host = self._expendable()
        if host is not None:
            self._once_down(host, self._flip)

    def _flip(self, host: Host) -> None:
        files = {path: data for path, data in host.disk.files().items() if any(data)}
        path = self.random.choice(sorted(files))
        before = self.oracle.image(host)
        for _ in range(self.random.choice([1, 1, 3])):
            data = files[path]
            offset = self.random.randrange(len(data))
            if self.random.random() < 0.8:  # most of a segment is padding
                offset = self.random.choice([at for at, byte in enumerate(data) if byte])
            bit = self.random.randrange(8)
            host.disk.flip(path, offset, bit)
            if self.oracle.undetectable(host, before, alone=not host.rotten):
                host.disk.flip(path, offset, bit)
                self.counts["undetectable flips"] += 1
                return
            host.rotten = True
            self.counts["flips"] += 1
        self.record("op", f"a bit of {host.name}'s {path} flips at {offset}")

    def _slow_link(self) -> None:
        """One direction of one way between two machines becomes slow, or fast again."""
        if self.network.slow and self.random.random() < 0.5:
            self.network.slow.clear()
            self.record("op", "all links are fast")
            return
        way = self.random.choice(list(self.hosts)), self.random.choice(list(self.hosts))
        self.network.slow[way] = self.random.choice([2_000.0, 20_000.0, 1_000_000.0])
        self.record("op", f"{way[0]}>{way[1]} carries {self.network.slow[way]:.0f} bytes a second")

    def _named(self) -> set[str]:
        """Whom any running node's configuration names."""
        return {name for host in self.hosts.values() if host.is_up for name in host.replica.node.configuration.ids()}

    def _wiped(self) -> bool:
        """Whether some member has lost its disk, or may yet, and is not back as what it was."""
        return any(host.rotten for host in self.hosts.values()) or self._replaced()

    def _replaced(self) -> bool:
        """Whether some member has lost its disk, and is not back as what it was."""
        if not self.oracle.configurations:
            return False
        members = self.oracle.configurations[-1][1].members
        return any(
            member.incarnation != self.hosts[member.id].incarnation or member.joining
            for member in members
            if member.id in self.hosts
        )

    def _terminate(self) -> None:
        host = self._leader_or_any(0.5)
        if host is not None:
            self.record("op", f"stop {host.name}")
            host.stop()
