"""`python -m tests.clients.against_redis [--random N] [--seed S]`: malformed requests, at Leto and at a redis-server.

Every case of test_resp_protocol_errors.py, and N random ones, must be answered with the same bytes and end the
connection alike. Needs redis-server 7.0 on PATH; it is started on a port of its own and ended. Exit status 1 if
anything differs.
"""

from __future__ import annotations

import argparse
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tests.clients.conversation import Node
from tests.resp.test_resp_protocol_errors import CASES, PREFIX

PIECES = [
    b"*", b"$", b"\r\n", b"\r", b"\n", b"*1", b"*2", b"*3", b"*0", b"*-1", b"*01", b"*+1", b"$4", b"$3", b"$1", b"$0",
    b"$-1", b"$04", b"$+4", b"*9999999999", b"$9999999999", b"PING", b"ECHO", b"SET", b"GET", b"k", b"v", b" ", b"'",
    b'"', b"\\", b"\\x41", b"\0", b"\xff", b":1", b"+OK", b"-ERR", b"%1", b"a b", b"\t", b"\v", b"  ",
    b"*1\r\n$4\r\nPING\r\n", b"*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n", b"PING\r\n", b"ECHO 'a b'\r\n", b'ECHO "\\n"\n',
]  # fmt: skip


def of_leto(data: bytes) -> bytes:
    client = Node().client()
    client.send(data)
    return client.hear() + (b"<closed>" if client.is_closed else b"")


def of_redis(port: int, data: bytes) -> bytes:
    """What it answers before a PING's reply, which shows that it reads on."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        heard = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while block := connection.recv(1 << 16):
                heard += block
        except ConnectionError:
            heard += b"<reset>"
    return heard


def random_case(source: random.Random) -> bytes:
    return b"".join(source.choices(PIECES, k=source.randint(1, 12)))


def serve(directory: str) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory, "--daemonize", "no"]
    process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if of_redis(port, b"PING\r\n"):
                return process, port
        except OSError:
            pass
    process.kill()
    raise SystemExit("redis-server does not answer")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--random", type=int, default=2000, metavar="N", help="random cases besides the table's")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if shutil.which("redis-server") is None:
        raise SystemExit("there is no redis-server on PATH")
    import tempfile

    source = random.Random(arguments.seed)
    cases = [PREFIX + data for data, _ in CASES] + [random_case(source) for _ in range(arguments.random)]
    differences = 0
    with tempfile.TemporaryDirectory(prefix="leto-redis-") as directory:
        process, port = serve(directory)
        try:
            for data in cases:
                of_redis(port, b"FLUSHALL\r\n")
                ours, theirs = of_leto(data), of_redis(port, data)
                if ours.removesuffix(b"<closed>") != theirs:
                    differences += 1
                    print(f"{data[:80]!r}\n  leto  {ours[-160:]!r}\n  redis {theirs[-160:]!r}")
        finally:
            process.terminate()
            process.wait()
    print(f"{len(cases)} cases, {differences} answered differently (seed {arguments.seed})")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
