"""A node that answers what a test tells it to, on a real loopback port, in a thread of its own."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Any

import hiredis


class ScriptedNode:
    """`answers`: the raw bytes sent for each request, in turn; None closes the connection instead.
    After the last one the node falls silent. `requests` is what was asked."""

    def __init__(self, *answers: bytes | None) -> None:
        self.requests: list[list[bytes]] = []
        node = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                reader = hiredis.Reader()
                script = list(answers)
                while data := self.request.recv(65536):
                    reader.feed(data)
                    while (request := reader.gets()) is not False:
                        node.requests.append(request)
                        if not script:
                            continue
                        answer = script.pop(0)
                        if answer is None:
                            return
                        self.request.sendall(answer)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Connection)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ScriptedNode:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def resp3(value: Any) -> bytes:
    """`value` as RESP3: maps, arrays, booleans, integers, texts as bulk strings."""
    if isinstance(value, dict):
        return b"%%%d\r\n" % len(value) + b"".join(resp3(k) + resp3(v) for k, v in value.items())
    if isinstance(value, list):
        return b"*%d\r\n" % len(value) + b"".join(map(resp3, value))
    if isinstance(value, bool):
        return b"#t\r\n" if value else b"#f\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, float):
        return b",%r\r\n" % value
    return bulk(str(value).encode())
