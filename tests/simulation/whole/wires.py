"""The simulated network: leto.twins.transport's, among processes that stand still or die, in weather."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from leto.interfaces.store import Identity
from leto.interfaces.transport import PeerListener
from leto.raft.messages import Message
from leto.twins.transport import MemoryNetwork, MemoryTransport
from tests.simulation.whole.process import Gate, Process
from tests.simulation.whole.timeline import Timeline

SLOWEST = 3.0  # seconds that a slow link takes at most
encoded = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Weather:
    """What becomes of a message: probabilities, and seconds of delay."""

    drop: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0  # delayed by up to two seconds
    delay: tuple[float, float] = (0.0, 0.002)
    ordered: bool = True


class Network(MemoryNetwork):
    """Whose fate is the weather's, and where the dead and the paused accept no connection."""

    def __init__(self, timeline: Timeline, random: Random) -> None:
        super().__init__(timeline, fate=self._fate)
        self.weather = Weather()
        self._random = random
        self.slow: dict[tuple[str, str], float] = {}  # (from, to) -> bytes a second
        self._resets: list[tuple[str, str, Any]] = []  # pairs whose connections are yet to be reset, and when
        self._busy: dict[tuple[str, str], float] = {}  # until when

    def set_weather(self, weather: Weather) -> None:
        self.weather = weather
        self.ordered = weather.ordered

    def find(self, address: str) -> MemoryTransport | None:
        found = super().find(address)
        if isinstance(found, Transport) and (found.process.paused or not found.process.alive):
            return None
        return found

    @property
    def cuts(self) -> list[tuple[str, str]]:
        return sorted(self._cut)

    def heal_all(self) -> None:
        """What was sent into a cut is lost only together with its connection, as on TCP."""
        self.slow.clear()
        pairs = sorted({(min(pair), max(pair)) for pair in self._cut})
        super().heal_all()
        for a, b in pairs:
            if self._random.random() < 0.5:
                self.reset(a, b)
            else:
                self._resets.append((a, b, self.reactor.callLater(self._random.uniform(0.0, 5.0), self.reset, a, b)))

    def end_faults(self) -> None:
        """All is well from here on; connections that would still have been reset are reset now."""
        self.set_weather(Weather())
        self.heal_all()
        for a, b, call in self._resets:
            if call.active():
                call.cancel()
                self.reset(a, b)
        self._resets.clear()

    def _fate(self, sender: str, to: str, what: Message | bytes) -> Sequence[float]:
        weather, random = self.weather, self._random
        lost = weather.drop and random.random() < weather.drop
        queue = self._queue(sender, to, what) if self.slow else 0.0
        if isinstance(what, bytes):  # requests and answers: neither lost nor doubled while the connection lasts
            return (queue + self._delay(weather) + (random.uniform(0.2, 1.0) if lost else 0.0),)
        if lost:
            return ()
        copies = 2 if weather.duplicate and random.random() < weather.duplicate else 1
        return [queue + self._delay(weather) for _ in range(copies)]

    def _queue(self, sender: str, to: str, what: Message | bytes) -> float:
        """How long it takes to be carried by a slow link, behind what was sent before."""
        rate = self.slow.get((sender, to))
        if rate is None:
            return 0.0
        now = self.reactor.seconds()
        size = len(what) if isinstance(what, bytes) else len(encoded(what))
        done = max(now, self._busy.get((sender, to), 0.0)) + size / rate
        self._busy[sender, to] = done = min(done, now + SLOWEST)
        return done - now

    def _delay(self, weather: Weather) -> float:
        if weather.late and self._random.random() < weather.late:
            return self._random.uniform(0.0, 2.0)
        return self._random.uniform(*weather.delay)


class Transport(MemoryTransport):
    """One process's end of the network."""

    def __init__(
        self, process: Process, network: Network, identity: Identity, address: str, client: str, level: int
    ) -> None:
        super().__init__(network, identity, address, client, level)
        self.process = process

    def start(self, listener: PeerListener) -> None:
        super().start(Gate(self.process, listener))  # type: ignore[arg-type]

    def set_peers(self, addresses: Mapping[str, str]) -> None:
        if self.process.alive:
            super().set_peers(addresses)

    def send(self, messages: Iterable[Message]) -> None:
        oracle = self.process.host.world.oracle
        for message in messages:
            if self.process.before_send(message):
                oracle.sent(self.process, message)
                super().send((message,))

    def request(self, server_id: str, body: bytes, timeout: float) -> Deferred[bytes]:
        inner = super().request(server_id, body, timeout)
        outer: Deferred[bytes] = Deferred(lambda _: inner.cancel())
        inner.addBoth(lambda result: self.process.deliver(_finish, outer, result))
        return outer

    def meet(self, server_id: str, address: str, incarnation: str | None, timeout: float) -> Deferred[None]:
        inner = super().meet(server_id, address, incarnation, timeout)
        outer: Deferred[None] = Deferred(lambda it: (inner.cancel(), _finish(it, Failure(TimeoutError("no answer")))))
        inner.addBoth(lambda result: self.process.deliver(_finish, outer, result))
        return outer

    def _dial(self) -> None:
        if self.process.alive and not self.process.paused:
            super()._dial()
        else:
            self._redial = None
            self._schedule_dial(self.network.redial_seconds)


def _finish(waiter: Deferred[Any], result: Any) -> None:
    if not waiter.called:
        if isinstance(result, Failure):
            waiter.errback(result)
        else:
            waiter.callback(result)
