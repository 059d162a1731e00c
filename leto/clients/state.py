"""What all clients of a node share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger

from leto.clients.connected import ConnectedClients
from leto.clients.counters import Counters
from leto.clients.guard import PasswordGuard
from leto.clients.idle import IdleClients
from leto.clients.memory import ClientMemory
from leto.clients.pause import Pause
from leto.clients.pump import Pump
from leto.clients.readers import ClientReaders
from leto.clients.settings import ClientSettings
from leto.clients.slowlog import SlowLog
from leto.clients.table import CommandTable
from leto.clients.turns import Turns
from leto.config import Config
from leto.interfaces.replica import Replica
from leto.reactor.notices import Notices
from leto.reactor.sockets import SocketReaders
from leto.reactor.stalls import StallMeter
from leto.vocabulary.registry import KEYSPACE, Registry


class ServerState:
    """One a factory."""

    def __init__(
        self,
        replica: Replica,
        config: Config,
        reactor: Any,
        commands: Registry,
        shutdown: Callable[[], None],
        wall_clock: Callable[[], float],
        readers: SocketReaders | None = None,
        meter: StallMeter | None = None,
    ) -> None:
        self.replica = replica
        self.config = config
        self.reactor = reactor
        self.seconds: Callable[[], float] = reactor.seconds
        self.shutdown = shutdown
        self.wall_clock = wall_clock
        self.run_id = os.urandom(20).hex()
        self.started = reactor.seconds()
        self.last_save = int(wall_clock())
        self.soon: Callable[[Callable[[], object]], object] = (
            readers.soon if readers is not None else partial(reactor.callLater, 0)
        )

        self.settings = ClientSettings(config)
        self.counters = Counters(reactor.seconds)
        self.clients: ConnectedClients[Any] = ConnectedClients()  # of leto.clients.session.Session
        self.table = CommandTable(KEYSPACE, commands, lambda: replica.machine.level)
        self.slowlog = SlowLog(config.slowlog_log_slower_than, config.slowlog_max_len)
        self.notices = Notices(Logger(namespace="leto.resp"), reactor.seconds)  # lines that clients can bring about
        self.guard = PasswordGuard(reactor, self.notices)
        self.memory = ClientMemory(config.maxmemory_clients, self.notices)
        self.meter = meter or StallMeter()
        self.meter.threshold = config.latency_monitor_threshold / 1000
        self.turns = Turns(reactor, self.meter)
        is_congested: Callable[[], bool] = partial(getattr, replica, "is_congested")  # calls nothing besides
        self.pump = Pump(reactor, is_congested)
        self.pause = Pause(reactor, self._pause_over)
        self.idle = IdleClients(reactor, self.clients, config.timeout)
        self.readers = ClientReaders(readers, is_congested) if readers is not None else None
        replica.on_half_applied = lambda is_half: self.turns.hold(is_half)

    def _pause_over(self) -> None:
        for client in self.clients:
            client.resume("pause")

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        for known in self.table.all():
            known.reset()
        self.counters.reset()
        self.memory.evicted = 0
        self.meter.reset()

    def close(self) -> None:
        """The node stops: no timer stays behind."""
        for part in (self.turns, self.idle, self.guard, self.pump, self.pause):
            part.close()
