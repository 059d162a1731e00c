"""The network between the nodes, in our hands: a proxy before each node's Raft port, faults by direction.

Every node advertises its proxy, so all that peers say passes here. A connection tells with its first frame (HELLO or
VOUCH, in the clear) who dials, so each pair of nodes can be treated apart. A Flow is all that travels from one node to
another: one way of the connections that it dials, the other way of those that it accepts. TCP is kept: bytes come late,
slowly, or not at all, but in order; what is lost is a whole connection, at any byte.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

CHUNK = 64 << 10  # bytes read at once
BUFFER = 1 << 20  # bytes a proxy holds for one direction before it reads no more
HELLO, VOUCH = 1, 6  # the frames' kinds
FRAME_HEAD = struct.Struct(">IIB")  # length, check, kind
HELLO_SECONDS = 10.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


@dataclass(slots=True)
class Flow:
    """How bytes travel from one node to another."""

    held: bool = False  # nothing arrives, nothing is lost: silence
    cut: bool = False  # connections are reset and none is made
    delay: float = 0.0  # seconds
    jitter: float = 0.0  # seconds more, at most
    rate: float = 0.0  # bytes a second; 0: as many as come
    carried: int = 0  # bytes


class Network:
    """Proxies and their event loop, in a thread of their own. All methods may be called from any thread."""

    def __init__(self, seed: int) -> None:
        self.flows: dict[tuple[str, str], Flow] = {}
        self.resets = 0
        self.random = random.Random(seed)
        self.speak_for: dict[str, str] = {}  # id -> the address that proxies dial from on that node's behalf
        self.loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._tunnels: set[Tunnel] = set()
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` in the loop's thread, and wait for it."""

        async def run() -> None:
            function()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def proxy(self, server_id: str, port: int, host: str = "127.0.0.1", listen: str = "127.0.0.1") -> int:
        """Serve on the address `listen` what is dialled to that node, whose Raft port is `port` of `host`; gives the
        port to advertise."""

        async def start() -> int:
            async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._accept(server_id, (host, port), reader, writer)

            server = await asyncio.start_server(accept, listen, 0, limit=CHUNK)
            self._servers.append(server)
            number: int = server.sockets[0].getsockname()[1]
            return number

        return asyncio.run_coroutine_threadsafe(start(), self.loop).result(10)

    def close(self) -> None:
        """End every connection and the thread."""

        def stop() -> None:
            for server in self._servers:
                server.close()
            for tunnel in list(self._tunnels):
                tunnel.reset()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_later(0.05, self.loop.stop)

        self.loop.call_soon_threadsafe(stop)
        self._thread.join(10)
        self.loop.close()

    # faults -------------------------------------------------------------------------------------------

    def flow(self, source: str, destination: str) -> Flow:
        return self.flows.setdefault((source, destination), Flow())

    def change(self, pairs: Iterable[tuple[str, str]], **fields: bool | float) -> None:
        """Set fields of the flows from one node to another; what is cut is reset at once."""

        def apply() -> None:
            for source, destination in pairs:
                flow = self.flow(source, destination)
                for name, value in fields.items():
                    setattr(flow, name, value)
                if flow.cut:
                    self._reset({source, destination})

        self.call(apply)

    def reset(self, one: str, other: str) -> None:
        """Reset the connections between two nodes, wherever in a frame they are."""
        self.call(lambda: self._reset({one, other}))

    def heal(self) -> None:
        """A whole and quick network."""

        def apply() -> None:
            for flow in self.flows.values():
                flow.held = flow.cut = False
                flow.delay = flow.jitter = flow.rate = 0.0

        self.call(apply)

    def _reset(self, ends: set[str]) -> None:
        for tunnel in list(self._tunnels):
            if {tunnel.dialler, tunnel.acceptor} == ends:
                self.resets += 1
                tunnel.reset()

    # connections --------------------------------------------------------------------------------------

    async def _accept(
        self, acceptor: str, address: tuple[str, int], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        tunnel = None
        try:
            head = await asyncio.wait_for(_first_frame(reader), HELLO_SECONDS)
            dialler = dialler_of(head)
            to, back = self.flow(dialler, acceptor), self.flow(acceptor, dialler)
            if to.cut or back.cut:
                return
            own = (self.speak_for[dialler], 0) if dialler in self.speak_for else None
            dialled = asyncio.open_connection(*address, limit=CHUNK, local_addr=own)
            far_reader, far_writer = await asyncio.wait_for(dialled, HELLO_SECONDS)
            tunnel = Tunnel(self, dialler, acceptor, writer, far_writer)
            self._tunnels.add(tunnel)
            await asyncio.gather(
                tunnel.carry(to, reader, far_writer, head), tunnel.carry(back, far_reader, writer, b"")
            )
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # an end of it is gone: so is the other, below
        finally:
            if tunnel is not None:
                self._tunnels.discard(tunnel)
                tunnel.reset()
            else:
                _abort(writer)


class Tunnel:
    """One connection through the proxy: two pumps, which end together."""

    def __init__(
        self,
        network: Network,
        dialler: str,
        acceptor: str,
        near: asyncio.StreamWriter,
        far: asyncio.StreamWriter,
    ) -> None:
        self._network = network
        self.dialler = dialler
        self.acceptor = acceptor
        self._near = near
        self._far = far
        self._dead = False

    def reset(self) -> None:
        """End both sides at once, whatever is under way."""
        if not self._dead:
            self._dead = True
            _abort(self._near)
            _abort(self._far)

    async def carry(self, flow: Flow, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes) -> None:
        """Carry bytes from `reader` to `writer` as the flow wants it, until one of them ends."""
        waiting: deque[tuple[float, bytes]] = deque()
        state = {"bytes": 0, "ended": False}
        stirred = asyncio.Event()

        def put(data: bytes) -> None:
            due = self._network.loop.time() + flow.delay
            if flow.jitter:
                due += flow.jitter * self._network.random.random()
            waiting.append((due, data))
            state["bytes"] += len(data)
            stirred.set()

        async def take_in() -> None:
            try:
                while not self._dead:
                    data = await reader.read(CHUNK)
                    if not data:
                        break
                    put(data)
                    while state["bytes"] > BUFFER and not self._dead:
                        await asyncio.sleep(0.01)
            finally:
                state["ended"] = True
                stirred.set()

        if first:
            put(first)
        intake = asyncio.ensure_future(take_in())
        try:
            while not self._dead:
                if not waiting:
                    if state["ended"]:
                        break
                    stirred.clear()
                    await stirred.wait()
                    continue
                due, data = waiting[0]
                now = self._network.loop.time()
                if flow.held or due > now:
                    await asyncio.sleep(min(0.02, due - now) if due > now else 0.02)
                    continue
                waiting.popleft()
                state["bytes"] -= len(data)
                piece = max(1, int(flow.rate * 0.02)) if flow.rate else len(data)
                for start in range(0, len(data), piece):
                    writer.write(data[start : start + piece])
                    flow.carried += min(piece, len(data) - start)
                    await writer.drain()
                    if flow.rate:
                        await asyncio.sleep(piece / flow.rate)
                    while flow.held and not self._dead:  # silence may fall within a frame
                        await asyncio.sleep(0.02)
        finally:
            intake.cancel()
            self.reset()


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST, so that the other side knows at once."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def _first_frame(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(FRAME_HEAD.size)
    length, _, _ = FRAME_HEAD.unpack(head)
    return head + await reader.readexactly(min(length, CHUNK) - 1)


def dialler_of(frame: bytes) -> str:
    """The id of the node that dials, from the first frame of its connection (docs/peer-protocol.md)."""
    kind = FRAME_HEAD.unpack_from(frame)[2]
    if kind not in (HELLO, VOUCH):
        raise ConnectionError(f"a connection that begins with a frame of kind {kind}")
    server_id = msgspec.msgpack.decode(frame[FRAME_HEAD.size :])[2]
    return str(server_id)
