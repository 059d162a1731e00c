"""Concurrent clients: each does one thing after the other, wherever it is served, and records what it was told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Sequence
from typing import Any

import hiredis

from tests.chaos.history import REFUSALS, Asked, History, KeyGroup
from tests.chaos.specification import Action, is_read, pack, single

CONNECT_SECONDS = 1.0
LIFE_SECONDS = 4.0  # of a group of keys: short histories stay decidable
LIFE_OPERATIONS = 90
LIFE_OPERATIONS_EXPIRING = 270  # long enough to see what outlives its time
PATIENCE = (1.0, 2.5, 8.0)  # seconds clients wait for a reply; the last one hears what a paused node says as it wakes
GROUPS = {
    "register": 4,
    "counter": 2,
    "list": 2,
    "transaction": 4,
    "expiring": 3,
}  # how many of each kind are in use at a time


class Disconnected(Exception):
    """The connection is gone, or was given up: what is unanswered stays unknown."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Workload:
    """Which operation comes next. Values are unique, so that whose write a read saw is plain."""

    def __init__(self, history: History, seed: int, kinds: Collection[str] = ()) -> None:
        """`kinds`: of keys, some of GROUPS; () for all."""
        self.history = history
        self.random = random.Random(seed)
        self._serial = 0
        self._current: list[KeyGroup] = [
            self._fresh(kind) for kind, count in GROUPS.items() if not kinds or kind in kinds for _ in range(count)
        ]

    def _fresh(self, kind: str) -> KeyGroup:
        self._serial += 1
        name = f"{kind}:{self._serial}"
        count = 4 if kind == "transaction" else 1
        return self.history.new_group(kind, [f"{name}:{i}".encode() for i in range(count)])

    def value(self) -> bytes:
        self._serial += 1
        return b"v%d" % self._serial

    def group(self) -> KeyGroup:
        """One of those in use; an old one is replaced."""
        place = self.random.randrange(len(self._current))
        group = self._current[place]
        most = LIFE_OPERATIONS_EXPIRING if group.kind == "expiring" else LIFE_OPERATIONS
        if group.asked >= most or self.history.now() - group.born > LIFE_SECONDS:
            group = self._current[place] = self._fresh(group.kind)
        return group

    def action(self, group: KeyGroup, *, only_reads: bool = False) -> Action:
        while True:
            chosen: Action = getattr(self, f"_{group.kind}")(group.keys)
            if is_read(chosen) or not only_reads:
                return chosen

    def _register(self, keys: Sequence[bytes]) -> Action:
        (key,) = keys
        draw = self.random.random()
        if draw < 0.42:
            return single(b"GET", key)
        if draw < 0.66:
            return single(b"SET", key, self.value())
        if draw < 0.74:
            return single(b"DEL", key)
        if draw < 0.78:
            return single(b"GETDEL", key)
        if draw < 0.82:
            return single(b"EXISTS", key)
        options = self.random.choice([(b"NX",), (b"XX",), (b"GET",), (b"NX", b"GET"), (b"XX", b"GET")])
        return single(b"SET", key, self.value(), *options)

    def _counter(self, keys: Sequence[bytes]) -> Action:
        (key,) = keys
        draw = self.random.random()
        if draw < 0.4:
            return single(b"GET", key)
        if draw < 0.8:
            return single(b"INCR", key)
        if draw < 0.98:
            return single(self.random.choice([b"INCRBY", b"DECRBY"]), key, b"%d" % self.random.randint(2, 1000))
        return single(b"DEL", key)

    def _list(self, keys: Sequence[bytes]) -> Action:
        (key,) = keys
        draw = self.random.random()
        if draw < 0.4:
            return single(b"GET", key)
        if draw < 0.5:
            return single(b"STRLEN", key)
        return single(b"APPEND", key, b"<%b>" % self.value())

    def _expiring(self, keys: Sequence[bytes]) -> Action:
        (key,) = keys
        draw = self.random.random()
        if draw < 0.7:
            return single(b"GET", key)
        if int(key.split(b":")[1]) % 2:  # a lock, that ends by itself alone: what would not end is not overwritten
            return single(b"SET", key, self.value(), b"PX", self.random.choice([b"150", b"400", b"1000"]), b"NX")
        if draw < 0.73:
            return single(b"DEL", key)
        life = b"%d" % self.random.choice([150, 400, 1000, 1000, 2500, 2500, 60_000])
        return single(b"SET", key, self.value(), b"PX", life, *([b"NX"] if draw < 0.88 else []))

    def _transaction(self, keys: Sequence[bytes]) -> Action:
        one, other, plus, minus = keys  # two registers, two counters of which one mirrors the other
        draw = self.random.random()
        if draw < 0.25:
            return single(b"MGET", *keys)
        if draw < 0.4:
            return (), ((b"GET", one), (b"GET", other), (b"MGET", plus, minus))
        if draw < 0.5:
            value = self.value()
            return single(b"MSET", one, value, other, value)
        if draw < 0.55:
            return single(b"DEL", one, other)
        if draw < 0.75:
            amount = b"%d" % self.random.randint(1, 100)
            return (), ((b"DECRBY", minus, amount), (b"INCRBY", plus, amount))
        value = self.value()
        return (), ((b"SET", one, value), (b"GET", other), (b"SET", other, value))


class Client:
    """One client with one connection at a time. `addresses`: host and port of each node."""

    def __init__(
        self, number: int, addresses: Sequence[tuple[str, int]], workload: Workload, seed: int, think: float
    ) -> None:
        self.name = f"c{number}"
        self._addresses = list(addresses)
        self._workload = workload
        self._history = workload.history
        self._random = random.Random(f"{seed}/{number}")
        self._think = think  # seconds between two requests, on average
        self._patience = PATIENCE[number % len(PATIENCE)]
        self._only_reads = number % 4 == 3  # a write that hangs would keep it from seeing what a lost leader still says
        self._roams = number % 3 == 2  # asks any node; the others stay where writes are taken
        self._stopping = False
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._parser = hiredis.Reader()
        self._turn = number
        self._seen: list[Any] = []  # the last answered operation's replies

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True

    async def run(self) -> None:
        while not self._stopping:
            address = self._addresses[self._turn % len(self._addresses)]
            self._turn += self._random.randint(1, len(self._addresses))
            try:
                await self._connect(address)
                stay = self._random.randint(5, 40) if self._roams else 1 << 30
                while not self._stopping and stay > 0 and await self._one_request():
                    stay -= 1
                    await asyncio.sleep(self._random.expovariate(1 / self._think))
            except (OSError, TimeoutError, Disconnected):
                pass  # recorded where it matters; the next node may do
            finally:
                self._disconnect()
            await asyncio.sleep(0.01 + 0.04 * self._random.random())

    async def _connect(self, address: tuple[str, int]) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            self._reader, self._writer = await asyncio.open_connection(*address)
        self._parser = hiredis.Reader()

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _one_request(self) -> bool:
        """Whether to stay with this node."""
        group = self._workload.group()
        draw = self._random.random()
        if group.kind == "register" and draw < 0.1 and not self._only_reads:
            return await self._compare_and_set(group)
        count = 1 if draw < 0.75 else self._random.randint(2, 4)
        actions = [self._workload.action(group, only_reads=self._only_reads) for _ in range(count)]
        asked = [self._history.ask(group, action, self.name) for action in actions]
        return await self._ask(asked, [_commands(action) for action in actions])

    async def _compare_and_set(self, group: KeyGroup) -> bool:
        """WATCH and GET, then a transaction that holds only if the key stood still."""
        (key,) = group.keys
        read = self._history.ask(group, single(b"GET", key), self.name)
        self._seen = []
        if not await self._ask([read], [((b"GET", key),)], before=((b"WATCH", key),)) or not self._seen:
            return False
        (value,) = self._seen
        guarded: Action = (((key, value),), ((b"SET", key, self._workload.value()),))
        asked = self._history.ask(group, guarded, self.name)
        return await self._ask([asked], [((b"MULTI",), *guarded[1], (b"EXEC",))])

    async def _ask(
        self,
        asked: Sequence[Asked],
        sent: Sequence[Sequence[Sequence[bytes]]],
        before: Sequence[Sequence[bytes]] = (),
    ) -> bool:
        """Send all at once, take the replies in order. Whether all was well."""
        assert self._writer is not None
        well, after, last_read = True, -1, False
        unanswered = list(asked)
        try:
            async with asyncio.timeout(self._patience):
                self._writer.write(pack([*before, *(command for commands in sent for command in commands)]))
                for _ in before:
                    well = not isinstance(await self._reply(), hiredis.ReplyError) and well
                for operation, commands in zip(asked, sent, strict=True):
                    replies = [await self._reply() for _ in commands]
                    unanswered.pop(0)
                    reply = replies[-1]
                    in_transaction = commands[-1] == (b"EXEC",)
                    if isinstance(reply, hiredis.ReplyError):
                        self._history.failed(operation, str(reply))
                        well = False
                        if is_read(operation.action):
                            last_read = True
                    elif in_transaction and reply is None:
                        self._history.aborted(operation)
                    else:
                        answers = reply if in_transaction else [reply]
                        after = self._history.answered(operation, answers, after)
                        self._seen = answers
        except TimeoutError:
            self._give_up(unanswered, "unknown: timeout")
        except (OSError, Disconnected):
            self._give_up(unanswered, "unknown: closed")
        return well or last_read and self._roams

    def _give_up(self, unanswered: Sequence[Asked], outcome: str) -> None:
        for operation in unanswered:
            self._history.lost(operation, outcome)
        raise Disconnected(outcome)

    async def _reply(self) -> Any:
        assert self._reader is not None
        while True:
            reply = self._parser.gets()
            if reply is not False:
                return reply
            data = await self._reader.read(64 << 10)
            if not data:
                raise Disconnected("closed")
            self._parser.feed(data)


def _commands(action: Action) -> Sequence[Sequence[bytes]]:
    """As sent: several commands, or a single one that is guarded, as a transaction."""
    guard, commands = action
    return commands if len(commands) == 1 and not guard else ((b"MULTI",), *commands, (b"EXEC",))


async def read_everything(address: tuple[str, int], history: History, who: str, chunk: int = 50) -> None:
    """Record a read of every group's keys at one node. One that is refused (on a busy machine the leader may still
    change) is asked again, until the caller's patience ends. Raises Disconnected or TimeoutError; any other error
    reply is recorded as unexpected: the cluster is whole."""
    reader, writer = await asyncio.open_connection(*address)
    parser = hiredis.Reader()
    waiting = list(history.groups)
    try:
        while waiting:
            groups, waiting = waiting[:chunk], waiting[chunk:]
            asked = [history.ask(group, single(b"MGET", *group.keys), who) for group in groups]
            writer.write(pack([command for one in asked for command in one.action[1]]))
            refused = []
            for one in asked:
                while (reply := parser.gets()) is False:
                    async with asyncio.timeout(20):
                        data = await reader.read(64 << 10)
                    if not data:
                        raise Disconnected("closed while everything is read")
                    parser.feed(data)
                if not isinstance(reply, hiredis.ReplyError):
                    history.answered(one, [reply], always=True)
                elif str(reply).startswith(REFUSALS):
                    history.failed(one, str(reply))
                    refused.append(one.group)
                else:
                    history.unexpected.append(f"the last read of {one.group.keys!r} at {who}: {reply}")
            waiting += refused
            if refused:
                await asyncio.sleep(0.2)
    finally:
        writer.transport.abort()
