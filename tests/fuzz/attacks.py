"""`python -m tests.fuzz.attacks`: a real node of three under attack, and what good clients notice of it.

Every attack is a number of connections to the leader's client port or peers' port that do something no honest client
or peer does. Meanwhile one good client asks GET and SET in turn. Printed for each: the node's memory (RSS) before,
at its height and after, the good client's median and longest time, the lines the node logged; and whether term, vote,
leader and membership stayed as they were. Exit status 1 if anything but the latencies went wrong.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from leto.peer import requests
from leto.peer.frames import FrameReader, Kind, frame
from leto.peer.greetings import Hello, Proof, encode
from leto.peer.wire_messages import encode_message
from leto.raft.messages import RequestVote
from tests.integration.cluster import Cluster, Node

FIRST_SOURCE = 2  # 127.0.0.2 and on: one loopback address has too few ports for many thousand connections
PORTS_OF_A_SOURCE = 20_000
OPTIONS = ("--election-timeout-ms", "3000")  # so that a busy machine alone costs nobody its leadership


class Victim:
    """The attacked node, as an attack sees it."""

    def __init__(self, node: Node, cluster_id: str, scale: float) -> None:
        self.node = node
        self.cluster_id = cluster_id
        self.scale = scale
        self.made = 0

    def many(self, count: int) -> int:
        return max(3, int(count * self.scale))

    def connect(self, port: int) -> socket.socket:
        self.made += 1
        source = f"127.0.0.{FIRST_SOURCE + self.made // PORTS_OF_A_SOURCE}"
        return socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))

    def client(self) -> socket.socket:
        return self.connect(self.node.client_port.number)

    def peer(self) -> socket.socket:
        return self.connect(self.node.raft_port.number)

    def rss(self) -> float:
        """MiB."""
        pages = int(Path(f"/proc/{self.node.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.node.pid}/fd"))


Attack = Callable[[Victim, ExitStack], str]


def _all(open_: Callable[[], socket.socket], count: int, stack: ExitStack, data: bytes = b"") -> list[socket.socket]:
    opened = []
    for _ in range(count):
        connection = stack.enter_context(open_())
        if data:
            connection.sendall(data)
        opened.append(connection)
    return opened


def _closed(connections: list[socket.socket], seconds: float) -> int:
    """How many of them the node has closed within that time."""
    selector = selectors.DefaultSelector()
    for connection in connections:
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
    closed = 0
    deadline = time.monotonic() + seconds
    while selector.get_map() and (left := deadline - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            try:
                if key.fileobj.recv(1 << 16):  # type: ignore[union-attr]
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            selector.unregister(key.fileobj)
            closed += 1
    return closed


def never_read(victim: Victim, stack: ExitStack) -> str:
    """Clients that ask for a megabyte over and over, and take nothing."""
    with victim.client() as helper:
        helper.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$1048576\r\n" + b"x" * (1 << 20) + b"\r\n")
        helper.recv(100)
    opened = []
    for _ in range(victim.many(20)):
        connection = stack.enter_context(victim.client())
        connection.setblocking(False)
        try:
            for _ in range(4):
                connection.send(b"GET big\r\n" * 100)
        except BlockingIOError:
            pass
        opened.append(connection)
    return f"{len(opened)} connections"


def never_finish(victim: Victim, stack: ExitStack) -> str:
    """Clients in the middle of a command."""
    opened = _all(victim.client, victim.many(1000), stack, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n" + b"x" * 1000)
    return f"{len(opened)} connections"


def promise(victim: Victim, stack: ExitStack) -> str:
    """Clients that promise 512 MB, and arrays of two thousand million."""
    half = victim.many(500)
    _all(victim.client, half, stack, b"*2\r\n$4\r\nECHO\r\n$536870912\r\nx")
    _all(victim.client, half, stack, b"*2147483647\r\n$1\r\nx\r\n")
    return f"{2 * half} connections"


def connect_often(victim: Victim, stack: ExitStack) -> str:
    """Connect and go, and again."""
    count = victim.many(10_000)
    for _ in range(count):
        victim.client().close()
    return f"{count} connections, one after another"


def many_clients(victim: Victim, stack: ExitStack) -> str:
    """Connect and stay, more than `maxclients` lets in."""
    opened = _all(victim.client, victim.many(11_000), stack)
    return f"{len(opened)} connections, {_closed(opened, 3)} refused"


def no_descriptors(victim: Victim, stack: ExitStack) -> str:
    """The node may open no more files: connections wait, and are taken when there are some again."""
    limits = resource.prlimit(victim.node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(victim.node.pid, resource.RLIMIT_NOFILE, (victim.descriptors() + 20, limits[1]))
    opened = _all(victim.client, victim.many(200), stack)
    began = _cpu(victim.node.pid)
    started = time.monotonic()
    threading.Event().wait(3)
    share = (_cpu(victim.node.pid) - began) / (time.monotonic() - started)
    resource.prlimit(victim.node.pid, resource.RLIMIT_NOFILE, limits)
    for connection in opened:
        connection.close()
    with victim.client() as late:
        late.settimeout(10)
        late.sendall(b"PING\r\n")
        assert late.recv(100) == b"+PONG\r\n", "it accepts no more"
    return f"{len(opened)} connections, {share:.0%} of a core meanwhile"


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def hello(victim: Victim, **other: object) -> bytes:
    fields = {"cluster": victim.cluster_id, "name": "stranger", "dialled": victim.node.id, "index": 5, **other}
    return frame(
        Kind.HELLO,
        encode(
            Hello(
                1, str(fields["cluster"]), str(fields["name"]), str(fields["dialled"]), b"i" * 16, os.urandom(32),
                False, "", "", int(str(fields["index"])),
            )
        ),
    )  # fmt: skip


def peer_nonsense(victim: Victim, stack: ExitStack) -> str:
    """Random bytes, RESP, lengths of 2^63, other clusters, ids with paths, messages before a handshake."""
    vote = frame(Kind.MESSAGE, encode_message(RequestVote("id2", victim.node.id, 1 << 61, 1 << 61, 1)))
    cases = [
        os.urandom(500), b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", struct.pack(">Q", 1 << 63) + b"x" * 50,
        hello(victim, cluster="f" * 32) + frame(Kind.PROOF, encode(Proof(b""))), hello(victim, name="../../etc/passwd"),
        hello(victim, name=victim.node.id) + frame(Kind.PROOF, encode(Proof(b""))), hello(victim, dialled="nobody"),
        hello(victim) + frame(Kind.PROOF, encode(Proof(b""))) + vote, vote, hello(victim) * 2, hello(victim) + vote,
        frame(99, b"what"), frame(Kind.HELLO, b"\xc1" * 40), frame(Kind.HELLO, b"\xdd\xff\xff\xff\xff"),
    ]  # fmt: skip
    opened = []
    for _ in range(victim.many(70)):
        for data in cases:
            opened += _all(victim.peer, 1, stack, data)
    closed = _closed(opened, 10)
    assert closed == len(opened), f"{len(opened) - closed} connections are still open"
    return f"{len(opened)} connections, all closed"


def peer_impostor(victim: Victim, stack: ExitStack) -> str:
    """Strangers that say they are a member, or one of a newer configuration: to write, to vote, to have a last term."""
    members = victim.node.info()["raft_voters"].split(",")
    garbage = frame(Kind.REQUEST, struct.pack(">Q", 1) + requests.encode(requests.Forward(b"garbage", 1)))
    heard = []
    for name in sorted({*members, "id2", "id9"} - {victim.node.id}):
        vote = frame(
            Kind.MESSAGE, encode_message(RequestVote(name, victim.node.id, 1 << 61, 1 << 61, 1, transfer=True))
        )
        greeting = hello(victim, name=name, index=1 << 40) + frame(Kind.PROOF, encode(Proof(b"")))
        opened = _all(victim.peer, victim.many(30), stack, greeting)
        heard += [_answers(connection, garbage + vote) for connection in opened]
    accepted = [data for data in heard if any(kind == Kind.ACCEPTED for kind, _ in FrameReader().feed(data))]
    assert not accepted, f"{len(accepted)} of {len(heard)} strangers were let in"
    return f"{len(heard)} connections, none let in"


def _answers(connection: socket.socket, more: bytes) -> bytes:
    """All that comes on it until it is closed; once something has, `more` is sent."""
    data = b""
    connection.settimeout(10)
    try:
        while part := connection.recv(4096):
            if not data:
                connection.sendall(more)
            data += part
    except OSError:
        pass  # closed on us
    return data


def peer_half_open(victim: Victim, stack: ExitStack) -> str:
    """Connections to the peers' port that say nothing, or one byte a second."""
    opened = _all(victim.peer, victim.many(10_000), stack)
    data = hello(victim)
    for second in range(4):
        for connection in opened[-50:]:
            try:
                connection.send(data[second : second + 1])
            except OSError:
                continue
        threading.Event().wait(1)
    closed = _closed(opened, 8)
    assert closed == len(opened), f"{len(opened) - closed} connections are still open"
    return f"{len(opened)} connections, all closed"


ATTACKS: dict[str, Attack] = {
    function.__name__.replace("_", "-"): function
    for function in (
        never_read, never_finish, promise, connect_often, many_clients, no_descriptors, peer_nonsense, peer_impostor,
        peer_half_open,
    )
}  # fmt: skip


class GoodClient:
    """Asks SET and GET in turn, and takes the time. A context manager."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.times: list[float] = []
        self.wrong: list[str] = []

    def __enter__(self) -> GoodClient:
        self._thread.start()
        self.wait_more(1, 30)  # it is connected before anything else happens
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(40)

    def wait_more(self, count: int, seconds: float) -> None:
        """Until so many more were answered, or the time is over."""
        wanted, deadline = len(self.times) + count, time.monotonic() + seconds
        while len(self.times) < wanted and not self.wrong and time.monotonic() < deadline:
            self._stop.wait(0.05)

    def _run(self) -> None:
        number = 0
        with self._node.connect(timeout=30) as connection:
            while not self._stop.wait(0.005):
                number += 1
                began = time.monotonic()
                try:
                    for request, expected in (
                        (b"SET good %d\r\n" % number, b"+OK\r\n"),
                        (b"GET good\r\n", b"$%d\r\n%d\r\n" % (len(str(number)), number)),
                    ):
                        connection.sendall(request)
                        heard = connection.recv(1000)
                        if heard != expected:
                            self.wrong.append(f"{request!r}: {heard!r}")
                            return
                except OSError as error:
                    self.wrong.append(repr(error))
                    return
                self.times.append((time.monotonic() - began) / 2)


class Height(threading.Thread):
    """Watches the node's memory. A context manager."""

    def __init__(self, victim: Victim) -> None:
        super().__init__(daemon=True)
        self._victim = victim
        self._stop_asked = threading.Event()
        self.height = 0.0

    def run(self) -> None:
        while not self._stop_asked.wait(0.05):
            self.height = max(self.height, self._victim.rss())

    def __enter__(self) -> Height:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join(10)


def state(node: Node) -> dict[str, str]:
    """What no attack may change."""
    info = node.info()
    return {name: info[name] for name in ("raft_term", "raft_vote", "raft_leader_id", "raft_voters") if name in info}


def attack(name: str, victim: Victim) -> Iterator[str]:
    """Carry it out; lines of what was measured. Raises AssertionError."""
    node = victim.node
    before, logged = state(node), len(node.log().splitlines())
    rss = victim.rss()
    with GoodClient(node) as good, Height(victim) as memory:
        with ExitStack() as stack:
            what = ATTACKS[name](victim, stack)
            good.wait_more(100, 20)
        threading.Event().wait(1)
    assert not good.wrong, f"{name}: a good client was answered {good.wrong[0]}"
    assert state(node) == before, f"{name}: {before} became {state(node)}"
    lines = node.log().splitlines()[logged:]
    assert not any("Traceback" in line for line in lines), "\n".join(lines[-40:])
    times, after = sorted(good.times), victim.rss()
    median, most, longest = (times[int((len(times) - 1) * part)] * 1e3 for part in (0.5, 0.99, 1))
    height = max(memory.height, after)
    yield (
        f"| {name} | {what} | {rss:.0f} | {height:.0f} | {after:.0f} | {median:.1f} | {most:.0f} | {longest:.0f} |"
        f" {len(lines)} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="A real node under attack, measured.")
    parser.add_argument("attacks", nargs="*", choices=[[], *ATTACKS], metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of connections")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    failed = False
    print("| attack | what | RSS before | height | after (MiB) | median ms | 99% | longest | lines |")
    print("|---|---|---|---|---|---|---|---|---|")
    with (
        tempfile.TemporaryDirectory(prefix="leto-attacks-") as directory,
        Cluster(Path(directory), 3, *OPTIONS) as cluster,
    ):
        for name in arguments.attacks or ATTACKS:
            leader = cluster.leader
            victim = Victim(leader, leader.info()["raft_cluster_id"], arguments.scale)
            try:
                for line in attack(name, victim):
                    print(line, flush=True)
            except (AssertionError, OSError) as error:
                failed = True
                print(f"| {name} | FAILED: {error} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
