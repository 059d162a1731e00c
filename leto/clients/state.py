"""What all clients of a node share: the command table, the counters, who is connected, the pause."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from leto.clients.guard import PasswordGuard
from leto.clients.idle import IdleClients
from leto.clients.memory import ClientMemory
from leto.clients.pump import Pump
from leto.clients.readers import ClientReaders
from leto.clients.slowlog import SlowLog
from leto.clients.table import CommandTable
from leto.clients.turns import Turns
from leto.config import Config
from leto.interfaces.replica import Replica
from leto.keyspace.registry import KEYSPACE, Registry
from leto.keyspace.replies import Error
from leto.reactor.notices import Notices
from leto.reactor.sockets import SocketReaders
from leto.reactor.stalls import StallMeter

if TYPE_CHECKING:
    from leto.clients.session import Session

_FREEZE_EVERY = 2000  # clients more
LONGEST_PAUSE = 2_000_000.0  # seconds (23 days): what a poll's timeout can hold


class ServerState:
    """One a factory. The plain attributes are what CONFIG SET may change while the node runs."""

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
        self.started = reactor.seconds()
        self.table = CommandTable(KEYSPACE, commands, lambda: replica.machine.level)
        self.slowlog = SlowLog()
        self.sessions: dict[int, Session] = {}  # by client id, the oldest first
        self.last_save = int(wall_clock())
        self.readers = ClientReaders(readers, lambda: replica.is_congested) if readers is not None else None
        self.soon: Callable[[Callable[[], object]], object] = (
            readers.soon if readers is not None else partial(reactor.callLater, 0)
        )
        self.meter = meter or StallMeter()
        self.turns = Turns(reactor, self.meter)
        self.pump = Pump(reactor, lambda: replica.is_congested)
        self.memory = ClientMemory(config.maxmemory_clients)
        replica.on_half_applied = lambda is_half: self.turns.hold(is_half)
        self.run_id = os.urandom(20).hex()
        self._next_id = 0
        self._frozen = 0

        self.compat_leto = config.compat == "leto"
        self.password = config.password.encode() if config.password else None
        self.maxclients = config.maxclients
        self.max_bulk_bytes = config.max_bulk_bytes
        self.output_limits = config.client_output_limits
        self.query_buffer_limit = config.client_query_buffer_limit
        self.pending_bytes = config.client_pending_bytes
        self.protected_mode = config.protected_mode
        self.tcp_keepalive = config.tcp_keepalive
        self.notices = Notices(Logger(namespace="leto.resp"), reactor.seconds)  # lines that clients can bring about
        self.guard = PasswordGuard(reactor, self.notices)
        self.idle = IdleClients(reactor, self.sessions, config.timeout)
        self.inert_settings: dict[str, str] = {}  # see leto.commands.inert_settings: what was set, by name

        # counters: see RespFactory.counters
        self.connections = 0
        self.rejected_connections = 0
        self.refused_unprotected = 0
        self.commands = 0
        self.input_bytes = 0
        self.output_total = 0
        self.protocol_errors = 0
        self.output_overruns = 0
        self.query_overruns = 0
        self.authentication_failures = 0
        self.errors: Counter[bytes] = Counter()  # error replies by their code word
        self._sampled = (self.started, 0)
        self._sampled_rate = 0

        # CLIENT PAUSE
        self.paused = False
        self._pause_all = False
        self._pause_timer: Any = None

    def next_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def welcome(self, session: Session) -> None:
        """A client has connected. Where there are more than ever, the collector of cyclic garbage is told to leave what
        there is alone: to look at 10,000 sessions takes it 60 ms, and lost ones need no collector."""
        self.sessions[session.id] = session
        if len(self.sessions) >= self._frozen + _FREEZE_EVERY:
            self._frozen = len(self.sessions)
            gc.freeze()

    def count_error(self, error: Error) -> None:
        self.errors[error.text.partition(b" ")[0]] += 1

    def commands_per_second(self) -> int:
        """Since the last time it was asked at least a second ago."""
        now = self.reactor.seconds()
        then, commands = self._sampled
        if now - then >= 1.0:
            self._sampled_rate = int((self.commands - commands) / (now - then))
            self._sampled = (now, self.commands)
        return self._sampled_rate

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        for known in self.table.all():
            known.reset()
        self.errors.clear()
        self.meter.reset()
        self.connections = self.rejected_connections = self.refused_unprotected = 0
        self.commands = self.input_bytes = self.output_total = 0
        self.protocol_errors = self.output_overruns = self.query_overruns = self.authentication_failures = 0
        self.memory.evicted = 0
        self._sampled = (self.reactor.seconds(), 0)

    # CLIENT PAUSE ----------------------------------------------------------------------------------

    def pauses(self, is_write: bool) -> bool:
        """Whether a command must wait for the pause to end."""
        return self.paused and (self._pause_all or is_write)

    def pause(self, seconds: float, pause_all: bool) -> None:
        """Hold back all commands, or writes only. As in Redis a pause never makes a running one shorter or weaker."""
        timer = self._pause_timer
        if timer is not None:
            seconds = max(seconds, timer.getTime() - self.reactor.seconds())
            pause_all = pause_all or self._pause_all
            timer.cancel()
        self.paused = True
        self._pause_all = pause_all
        self._pause_timer = self.reactor.callLater(min(seconds, LONGEST_PAUSE), self._pause_over)

    def unpause(self) -> None:
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_over()

    def _pause_over(self) -> None:
        self.paused = False
        self._pause_timer = None
        for session in tuple(self.sessions.values()):
            session.resume("pause")

    def close(self) -> None:
        """The node stops: no timer stays behind."""
        self.turns.close()
        self.idle.close()
        self.guard.close()
        self.pump.close()
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None
            self.paused = False
