"""How much of one client's requests and replies is kept here, and when it is read from.

Redis carries out what it reads at once and keeps the replies, so it takes a pipeline of any length from a client that
sends all of it before it reads. Here replies wait for a quorum, and reads are evaluated late, which costs no memory.
So there are two reasons not to go on with a client's requests, and they differ:

- It OWES: more than client_pending_bytes of its requests wait for this node (or something that takes time holds it
  back). That ends without the client's help, so meanwhile it is not read from: what it sends waits with the kernel.
- It is FULL: more than UNREAD_BYTES of replies wait for the client. It may have to send more before it reads any:
  not to read from it would be a deadlock. What it sends is kept as it came (`_held`: parsed it would take seven times
  as much) and parsed later. As much is answered ahead as it has sent ahead, so that what it makes this node keep is
  at most twice of what is possible at all: the requests where replies are large, the replies where requests are.

The limits are Redis's. A client that makes the node keep more than client-query-buffer-limit of its requests (1 GiB,
held, arriving and queued by MULTI), or more replies than client-output-buffer-limit allows (no limit), is closed. All
clients in sum are bounded by maxmemory-clients (leto.clients.memory). Since a full client is always read from until it
meets one of these, none waits for ever on a connection on which nothing moves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from leto.clients.connected import ConnectedClient
from leto.clients.identity import Identity
from leto.clients.output import Output
from leto.clients.state import ServerState
from leto.config import OutputLimit
from leto.reactor.places import place_of

UNREAD_BYTES = 256 << 10  # of replies that a client has not taken; beyond it none are made for one that sends no more
NOTABLE_BYTES = 256 << 10  # of requests of one client; beyond it leto.clients.memory is told
PIECE = 64 << 10  # of what was held back is parsed at once, about: what is read from a socket at once


class Owner(ConnectedClient, Protocol):
    """The session: it makes runs of what comes."""

    @property
    def input_bytes(self) -> int:
        """What is kept of requests that are not carried out: held, arriving, queued by MULTI."""

    def receive(self, data: bytes) -> None:
        """Take what has come."""

    def refuse_protocol(self, words: str) -> None:
        """Answer a protocol error, and close."""


class Flow(ABC):
    """The base of leto.clients.queue, with everything that both need."""

    __slots__ = (
        "_full",
        "_held",
        "_is_read",
        "_owes",
        "_set_reading",
        "_soft_timer",
        "_told",
        "blocked",
        "closed",
        "closing",
        "detours",
        "half_closed",
        "held",
        "identity",
        "is_subscribed",
        "output",
        "owner",
        "pending_bytes",
        "pushed_bytes",
        "state",
        "takes",
    )

    def __init__(
        self,
        owner: Owner,
        state: ServerState,
        identity: Identity,
        output: Output,
        set_reading: Callable[[bool], None],
    ) -> None:
        self.owner = owner
        self.state = state
        self.identity = identity
        self.output = output
        self.blocked = ""  # "" | "task" | "wait" | "exec" | "pause" | "turn": why the backlog waits
        self.closed = False  # the connection is gone
        self.closing = False  # nothing more is taken; the connection closes once all is answered
        self.half_closed = False  # the client has sent all it wants to
        self.pending_bytes = 0  # what its requests that are not answered take, roughly
        self._set_reading = set_reading  # whether the protocol shall read from the client
        self._is_read = True
        self._owes = self._full = False
        self.takes = True  # what comes is parsed and carried out: it neither owes nor is full
        self._held: deque[bytes | bytearray] = deque()  # what has come and is not parsed
        self.held = 0  # bytes of it
        self.is_subscribed = False  # it takes messages: its output's limits are those of Redis's class pubsub
        self.pushed_bytes = 0  # of messages that wait for the end of the reply under way
        self.detours = False  # what comes goes there
        self._told = 0  # bytes of replies that leto.clients.memory was told of
        self._soft_timer: Any = None

    @abstractmethod
    def proceed(self) -> None:
        """Go on with whatever can go on now."""

    @abstractmethod
    def kill(self) -> None:
        """Close at once; what waits is dropped."""

    # what comes -----------------------------------------------------------------------------------------

    def hold(self, data: bytes) -> None:
        """Keep it: what came before it comes first."""
        held, state = self._held, self.state
        if len(data) >= PIECE // 4:
            held.append(data)
        elif held and type(held[-1]) is bytearray and len(held[-1]) < PIECE:
            held[-1] += data  # as objects of their own small pieces would take many times more
        else:
            held.append(bytearray(data))
        self.held += len(data)
        state.memory.keeps_requests(self.owner)
        if self.owner.input_bytes > state.settings.query_buffer_limit:
            self.overrun_input("too big request")
        elif self._full and not self.is_full:
            self.proceed()  # it has sent more ahead, so more may be answered ahead
        elif self.blocked == "wait" and self.held >= PIECE:
            self.mind_burden()

    def go_on(self) -> None:
        """Its turn has come to go on with what was held back; called by leto.clients.pump."""
        if self.closed or self.closing:
            self.drop_held()
            return
        if self.blocked == "turn":
            self.owner.resume("turn")
        elif self._held and self.takes:
            piece = bytes(self._held.popleft())
            self.held -= len(piece)
            self.detours = False
            self.state.counters.input_bytes -= len(piece)  # counted when it came
            self.owner.receive(piece)
        self.mind_burden()

    def drop_held(self) -> None:
        """Nobody will ask for it."""
        self._held.clear()
        self.held = 0

    # limits -----------------------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """So much waits for the client to take it that no more is made for now."""
        unsent = self.output.unsent
        return unsent > UNREAD_BYTES and unsent > self._room

    @property
    def _room(self) -> int:
        """How many bytes of replies are made ahead: as many as the client has sent ahead, within its limits."""
        ahead = self.held
        if ahead > UNREAD_BYTES:
            limits = self._limits
            ahead = min(ahead, *(limit // 2 or ahead for limit in (limits.hard, limits.soft)))
        return max(UNREAD_BYTES, ahead)

    @property
    def _limits(self) -> OutputLimit:
        limits = self.state.settings.output_limits
        return limits.pubsub if self.is_subscribed else limits.normal

    def _mind_limits(self) -> None:
        """Look whether the client is to be read from, and what comes to be taken."""
        owes = self.pending_bytes > self.state.settings.pending_bytes
        if self.takes and not (owes or self.output.unsent or self.blocked):
            return  # nothing is amiss
        self.mind_burden()

    def mind_burden(self) -> None:
        """Look at all that the client is owed, and keeps here."""
        state, unsent = self.state, self.output.unsent
        if unsent or self.pushed_bytes:
            self._mind_unsent(unsent + self.pushed_bytes)
            if not (self.output.unsent or self.pushed_bytes):
                return  # it was closed for it
        # Only what waits in the output makes it full: messages leave once the reply under way has, which must go on.
        room = self._room
        if unsent > room:
            self._full = True
        elif unsent <= room - UNREAD_BYTES // 2:
            self._full = False
        if self.pending_bytes > state.settings.pending_bytes:
            self._owes = True
        elif 2 * self.pending_bytes <= state.settings.pending_bytes:
            self._owes = False
        may_go_on = not (self._owes or self._full)
        takes = self.takes = may_go_on and not self.blocked
        held = bool(self._held)
        self.detours = held or not takes
        # Who waits for something to happen is read from, a little, for else its end would not be noticed.
        reads = self._full or not self.detours or (self.blocked == "wait" and self.held < PIECE)
        if reads is not self._is_read:
            self._is_read = reads
            if not self.half_closed and not self.closing:
                self._set_reading(reads)
        if (held and takes) or (self.blocked == "turn" and may_go_on):
            state.pump.add(self)

    def _mind_unsent(self, unsent: int) -> None:
        """So many bytes of replies and messages wait for the client."""
        state = self.state
        limits = self._limits
        put = unsent + self.output.taken
        if put > self._told:
            state.memory.keeps_replies(self.owner, put - self._told)
            self._told = put
        if limits.hard and unsent > limits.hard or (unsent > UNREAD_BYTES and not self.identity.authenticated):
            self._overrun_output()
        elif limits.soft and unsent > limits.soft and self._soft_timer is None and not self.closing:
            self._soft_timer = state.reactor.callLater(limits.seconds, self._soft_limit_lasted)

    def _soft_limit_lasted(self) -> None:
        self._soft_timer = None
        limit = self._limits.soft
        if limit and self.output.unsent + self.pushed_bytes > limit:
            self._overrun_output()

    def _end_soft_limit(self) -> None:
        """All was taken, or the connection is gone."""
        if self._soft_timer is not None:
            self._soft_timer.cancel()
            self._soft_timer = None

    def _overrun_output(self) -> None:
        if self.closing and not self.output.unsent:
            return  # it is on its way out already
        self.state.notices.warn(
            ("output", place_of(self.identity.peer_host)),
            "Client {client} scheduled to be closed ASAP for overcoming of output buffer limits.",
            client=self.owner.describe(),
        )
        self.state.counters.output_overruns += 1
        self.kill()

    def overrun_input(self, words: str) -> None:
        """It makes this node keep more of its requests than client-query-buffer-limit. As in Redis the connection ends;
        a client that can hear it is told why."""
        first = bytes(self._held[0][:64] if self._held else b"").decode("latin-1").encode("unicode_escape").decode()
        self.state.notices.warn(
            ("input", place_of(self.identity.peer_host)),
            "Closing client that reached max query buffer length: {client} (qbuf initial bytes: {first})",
            client=self.owner.describe(),
            first=f'"{first}"',
        )
        self.state.counters.query_overruns += 1
        if self.output.unsent:
            self.kill()
        else:
            self.owner.refuse_protocol(words)
