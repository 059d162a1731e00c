"""Clients of a simulated cluster, and the history of what they asked and were told.

Keys come in groups: registers a and b, a counter c, and one of each collection (tests.simulation.whole.collections).
Each group is used for a while and then left, so that its history
can be checked for linearizability as a whole. Every write carries a token ~operation.request~, unique for all time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import hiredis
from twisted.internet.defer import fail
from twisted.python.failure import Failure

from leto.errors import (
    DiskFull,
    NoQuorum,
    NotLeader,
    OutcomeUnknown,
    Overloaded,
    RequestRefused,
    RequestTooLarge,
    Stopping,
)
from leto.twins.disk import PowerLost
from leto.vocabulary.levels import BASE
from leto.vocabulary.replies import NULL_ARRAY, OK
from tests.simulation.whole import collections
from tests.simulation.whole.linearizability import NEVER, UNKNOWN, Event, Model
from tests.simulation.whole.versions import LATER, PUT

if TYPE_CHECKING:
    from tests.simulation.whole.host import Host
    from tests.simulation.whole.process import Process
    from tests.simulation.whole.world import World

Command = list[bytes]
State = tuple[Any, ...]
NOTHING: State = (None,) * 7
GROUP_OPERATIONS = 40
CHANCE_OF_COLLECTIONS = 0.2  # of all operations
PATIENCE = (1.0, 8.0)  # seconds a client waits for an answer
LONGEST_LIFE = 2.0  # seconds that a key lives which expires
VOLATILE = -1  # the group of keys that expire: each is written once, and read until it is gone


class Operation:
    """One request of a client. `commands`: what it does, as the model sees it."""

    __slots__ = (
        "began", "called", "commands", "floor", "group", "host", "id", "is_read", "output", "returned", "tokens",
        "watch_index", "watched",
    )  # fmt: skip

    def __init__(self, id_: int, group: int, host: str, commands: list[Command], is_read: bool) -> None:
        self.id = id_
        self.group = group
        self.host = host
        self.commands = commands
        self.is_read = is_read
        self.tokens: list[int] = []  # numbers of the requests that carry one
        self.watched: tuple[int, bytes | None] | None = None  # a transaction: (register, what was there)
        self.watch_index = 0
        self.floor = 0  # what it must see: the highest index that was known before it was called
        self.called = 0
        self.began = 0.0  # the world's time when it was
        self.returned = NEVER
        self.output: Any = UNKNOWN

    def __repr__(self) -> str:
        words = "; ".join(b" ".join(argv)[:60].decode() for argv in self.commands)
        return f"operation {self.id} at {self.host} ({words})"


class Client:
    """Asks one thing after another, of whichever node it likes."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self._waits_for: Operation | None = None
        self._seen: dict[int, tuple[int, bytes | None, bytes | None]] = {}  # group -> (applied, a, b): for WATCH
        self._think()

    def _think(self) -> None:
        world = self.world
        if world.clients_stop:
            return
        world.timeline.callLater(world.random.expovariate(1 / world.think_seconds), self._act)

    def _act(self) -> None:
        if self.world.clients_stop:
            return
        if self.world.timeline.rightNow < self.world.silent_until:
            self.world.timeline.callLater(0.5, self._think)
            return
        host = self.world.target()
        process = host.process if host is not None else None
        if host is None or process is None or process.replica is None:
            self._think()
            return
        operation = self._choose(host)
        self.ask(operation, process)

    def ask(self, operation: Operation, process: Process) -> None:
        """Send it; the next one follows its answer, or the end of patience."""
        world = self.world
        self._waits_for = operation
        operation.called = world.tick()
        operation.began = world.timeline.rightNow
        operation.floor = world.oracle.floor
        world.history.append(operation)
        world.asked[operation] = process
        world.timeline.callLater(world.random.uniform(*PATIENCE), self._give_up, operation)
        process.deliver(self._send, operation, process)

    def _give_up(self, operation: Operation) -> None:
        if self._waits_for is operation:
            self._waits_for = None
            self._think()

    def _send(self, operation: Operation, process: Process) -> None:
        replica = process.replica
        self.world.deadlines.asked(operation, process)
        if operation.is_read:
            waiting = replica.read()
            waiting.addCallback(self._query, operation, process)
        elif LATER[operation.commands[0][0]].level > BASE and replica.machine.level < self.world.demanded_level:
            waiting = fail(RequestRefused("as a session would"))
        else:
            payload, count = packed(operation)
            waiting = replica.write(payload, count)
        waiting.addBoth(self._answered, operation, process)

    def _query(self, clock_ms: int, operation: Operation, process: Process) -> Any:
        machine = process.replica.machine
        if process.alive:
            self.world.oracle.read(operation, machine.applied, machine.is_whole)
        if len(operation.commands) == 1:
            return [machine.query(operation.commands[0], clock_ms)]
        replies = machine.query_transaction(operation.commands, {}, clock_ms)
        if operation.group in self.world.open_groups:
            self._seen[operation.group] = (machine.applied, replies[0], replies[1])
        return replies

    def _answered(self, result: Any, operation: Operation, process: Process) -> None:
        world = self.world
        world.asked.pop(operation, None)
        world.deadlines.answered(operation)
        if not process.alive:
            return  # the connection died with the process
        if isinstance(result, Failure):
            self._failed(result, operation)
        else:
            operation.returned = world.tick()
            operation.output = result
            world.counts["answered"] += 1
            if not operation.is_read:
                world.counts["of the later level"] += LATER[operation.commands[0][0]].level > BASE
                world.oracle.answered(operation, result)
                if operation.commands[0][0] == b"SETRANGE":
                    if result[0]:
                        world.oracle.peeked(operation, b"%d bytes" % result[0])
                elif operation.group == VOLATILE:
                    key, life_ms = operation.commands[0][1], int(operation.commands[0][4])
                    world.volatile.append(key)
                    world.oracle.volatile(operation, key, life_ms / 1000)
            elif operation.group == VOLATILE:
                world.oracle.peeked(operation, result[0])
            world.record("ok", f"{operation} -> {_short(result)}")
        if self._waits_for is operation:
            self._waits_for = None
            self._think()

    def _failed(self, failure: Failure, operation: Operation) -> None:
        world = self.world
        if failure.check(PowerLost):
            return
        world.record("no", f"{operation}: {failure.type.__name__}")
        world.counts[failure.type.__name__] += 1
        if operation.is_read:
            if failure.check(NoQuorum, Stopping) is None:
                failure.raiseException()
        elif failure.check(NotLeader, Overloaded, RequestRefused, RequestTooLarge, DiskFull, Stopping):
            world.oracle.refuse(operation, failure.value)
            operation.output = None  # it never happened
        elif failure.check(OutcomeUnknown) is None:
            failure.raiseException()

    # what to ask ----------------------------------------------------------------------------------------------

    def _choose(self, host: Host) -> Operation:
        world, random = self.world, self.world.random
        group = world.pick_group()
        world.operations += 1
        id_ = world.operations
        name = b"g%d" % group
        a, b, c = name + b"a", name + b"b", name + b"c"
        knows = host.process.replica.machine.understands > BASE
        if world.collections.random() < CHANCE_OF_COLLECTIONS and knows:
            command, is_read = collections.choose(world.collections, name, token(id_, 0))
            return Operation(id_, group, host.name, [command], is_read)
        kind = random.choices(
            ["set", "get", "both", "del", "append", "nx", "incr", "pair", "pipeline", "watch", "expire", "peek"],
            [20, 25, 12, 4, 8, 4, 10, 10, 6, 10, 4, 6],
        )[0]
        key = random.choice([a, b])
        seen = self._seen.get(group)
        if kind == "get":
            return Operation(id_, group, host.name, [[b"GET", random.choice([a, b, c])]], True)
        if kind == "peek" and world.oracle.gone and random.random() < 0.5:
            gone = random.choice(list(world.oracle.gone)[-3:])  # the log must say so too: this write changes nothing
            return Operation(id_, VOLATILE, host.name, [[b"SETRANGE", gone, b"0", b""]], False)
        if kind == "peek" and world.volatile:
            return Operation(id_, VOLATILE, host.name, [[b"GET", random.choice(world.volatile[-4:])]], True)
        if kind in ("both", "peek") or (kind == "watch" and seen is None):
            return Operation(id_, group, host.name, [[b"GET", a], [b"GET", b], [b"GET", c]], True)
        commands: list[Command]
        watched = None
        if kind == "set":
            name = PUT if world.mixed and world.versions.random() < 0.5 else b"SET"
            commands = [[name, key, self._value(id_, 0)]]
        elif kind == "expire":
            key = b"t%d" % id_
            commands = [[b"SET", key, self._value(id_, 0), b"PX", b"%d" % random.choice([1, 200, 1000 * LONGEST_LIFE])]]
        elif kind == "del":
            commands = [[b"DEL", key, token(id_, 0)]]
        elif kind == "append":
            commands = [[b"APPEND", key, token(id_, 0)]]
        elif kind == "nx":
            commands = [[b"SET", key, self._value(id_, 0), random.choice([b"NX", b"XX"])]]
        elif kind == "incr":
            commands = [[b"INCR", c]]
        elif kind == "pair":
            commands = [[b"SET", a, self._value(id_, 0)], [b"INCR", c], [b"SET", b, self._value(id_, 1)]]
        elif kind == "pipeline":
            commands = [[b"SET", key, self._value(id_, 0)], [b"APPEND", key, token(id_, 1)], [b"DEL", a, token(id_, 2)]]
        else:
            assert seen is not None
            watched = (0, seen[1]) if key == a else (1, seen[2])
            commands = [[b"SET", a, self._value(id_, 0)], [b"SET", b, self._value(id_, 1)]]
        operation = Operation(id_, group, host.name, commands, False)
        if kind in ("pair", "watch"):
            operation.watched = watched or (-1, None)
            operation.tokens = [0]
            operation.watch_index = seen[0] if seen is not None else 0
        elif kind == "pipeline":
            operation.tokens = [0, 1, 2]
        elif kind != "incr":
            operation.tokens = [0]
        if kind == "expire":
            operation.group = VOLATILE
        return operation

    def _value(self, id_: int, number: int) -> bytes:
        random = self.world.random
        if random.random() < self.world.big_values:
            return token(id_, number) + b"." * random.randint(100, self.world.largest_value)
        return token(id_, number)


class Burst(Client):
    """Asks many things of one node at once, and nothing after them."""

    def _think(self) -> None:
        pass

    def write(self, host: Host, process: Process, size: int) -> None:
        """One more write of a key that expires: such do not weigh on the search for an order of the others. Its value
        has `size` bytes more than it needs."""
        world = self.world
        world.operations += 1
        id_ = world.operations
        value = self._value(id_, 0) + b"." * size
        command = [b"SET", b"t%d" % id_, value, b"PX", b"%d" % world.random.choice([200, 2000])]
        operation = Operation(id_, VOLATILE, host.name, [command], False)
        operation.tokens = [0]
        self.ask(operation, process)


def token(id_: int, number: int) -> bytes:
    return b"~%d.%d~" % (id_, number)


def packed(operation: Operation) -> tuple[bytes, int]:
    """The payload for replica.write, and how many requests it holds."""
    parts = [hiredis.pack_command(tuple(argv)) for argv in operation.commands]
    if operation.watched is None:
        return b"".join(parts), len(parts)
    watched = operation.watched[0]
    multi: tuple[bytes, ...] = (b"MULTI",)
    if watched >= 0:
        key = operation.commands[watched][1]
        multi = (b"MULTI", b"%d" % operation.watch_index, key)
    return b"".join([hiredis.pack_command(multi), *parts, hiredis.pack_command((b"EXEC",))]), 1


# The model -----------------------------------------------------------------------------------------------------------


def step(state: State, operation: Operation, output: Any) -> State | None:
    """What the group becomes by the operation answered so; None if it cannot be answered so."""
    watched = operation.watched
    if watched is not None:
        output = output if output is UNKNOWN else output[0]
        if output == NULL_ARRAY:
            return state  # WATCH may abort for nothing
        if watched[0] >= 0 and state[watched[0]] != watched[1]:
            return state if output is UNKNOWN else None
    values = list(state)
    for number, argv in enumerate(operation.commands):
        place = _PLACES[argv[1][-1:]]
        value = values[place]
        expected, values[place] = _COMMANDS[argv[0]](value, argv)
        if output is not UNKNOWN and expected != output[number]:
            return None
    return tuple(values)


_PLACES = {end: place for place, end in enumerate((b"a", b"b", b"c", *collections.KINDS))}


def _get(value: Any, argv: Command) -> tuple[Any, Any]:
    return (b"%d" % value if isinstance(value, int) else value), value


def _set(value: Any, argv: Command) -> tuple[Any, Any]:
    if len(argv) == 4 and (value is None) != (argv[3] == b"NX"):
        return None, value
    return OK, argv[2]


def _del(value: Any, argv: Command) -> tuple[Any, Any]:
    return int(value is not None), None


def _append(value: Any, argv: Command) -> tuple[Any, Any]:
    value = (value or b"") + argv[2]
    return len(value), value


def _incr(value: Any, argv: Command) -> tuple[Any, Any]:
    value = (value or 0) + 1
    return value, value


_COMMANDS: dict[bytes, Callable[[Any, Command], tuple[Any, Any]]] = {
    b"GET": _get,
    b"SET": _set,
    PUT: _set,
    b"DEL": _del,
    b"APPEND": _append,
    b"INCR": _incr,
    **collections.CHANGES,
}
MODEL: Model[State] = Model(NOTHING, step)


def events(operations: list[Operation]) -> list[Event]:
    """A group's history: what was refused never happened, a read without an answer says nothing."""
    return [
        Event(o.called, o.returned, o, o.output)
        for o in operations
        if o.returned != NEVER or (o.output is UNKNOWN and not o.is_read)
    ]


def _short(result: Any) -> str:
    text = repr(result)
    return text if len(text) < 80 else f"{text[:77]}..."
