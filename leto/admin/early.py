"""The admin port while the node reads its data, before the reactor runs: a thread that answers probes, and no more.

An orchestrator that hears nothing from a node that reads a large log would end it, and again at the next start.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from leto.admin.hosts import is_answered_to, refusal

LOADING: Final = "this node is reading its data"
_LARGEST_HEAD: Final = 8192
_SECONDS: Final = 5.0  # that a request may take to come
_MOST: Final = 16  # connections at a time; when another comes the oldest is closed
_WAIT: Final = 0.5
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 421: "Misdirected Request", 503: "Unavailable"}


class EarlyAnswers:
    """A context manager: inside it the port answers. No thread is left behind, so the process may fork after it."""

    def __init__(self, sockets: Sequence[socket.socket], names: frozenset[str]) -> None:
        """`sockets` listen already and do not block; they stay the caller's."""
        self._sockets = sockets
        self._names = names
        self._connections: dict[socket.socket, tuple[float, bytearray]] = {}  # since when, what came
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="leto-early-admin", daemon=True)

    def __enter__(self) -> EarlyAnswers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        os.close(self._stop)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stop, selectors.EVENT_READ)
            for listening in self._sockets:
                selector.register(listening, selectors.EVENT_READ)
            try:
                self._serve(selector)
            finally:
                for connection in self._connections:
                    connection.close()

    def _serve(self, selector: selectors.BaseSelector) -> None:
        while True:
            for key, _ in selector.select(_WAIT):
                if key.fileobj == self._stop:
                    return
                sock: Any = key.fileobj
                if sock in self._sockets:
                    self._accept(selector, sock)
                elif sock in self._connections:
                    self._read(selector, sock)
            now = time.monotonic()
            for connection, (since, _) in list(self._connections.items()):
                if now - since > _SECONDS:
                    self._close(selector, connection)

    def _accept(self, selector: selectors.BaseSelector, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except OSError:  # it is gone already
            return
        connection.setblocking(False)
        self._connections[connection] = time.monotonic(), bytearray()
        selector.register(connection, selectors.EVENT_READ)
        if len(self._connections) > _MOST:
            self._close(selector, next(iter(self._connections)))

    def _read(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        head = self._connections[connection][1]
        try:
            data = connection.recv(_LARGEST_HEAD)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        head += data
        if b"\r\n\r\n" in head:
            with contextlib.suppress(OSError):
                connection.send(answer(bytes(head), self._names))  # small enough for any socket's buffer
        elif data and len(head) <= _LARGEST_HEAD:
            return
        self._close(selector, connection)

    def _close(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        selector.unregister(connection)
        del self._connections[connection]
        connection.close()


def answer(head: bytes, names: frozenset[str]) -> bytes:
    """What a request hears, whole, by its head."""
    first, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    words = first.split()
    hosts = [value.strip() for name, _, value in (line.partition(b":") for line in lines) if name.lower() == b"host"]
    status, body = 503, {"error": LOADING}
    if len(words) != 3 or words[0] not in (b"GET", b"HEAD"):
        status, body = 400, {"error": "only GET and HEAD are answered here"}
    elif not is_answered_to(hosts, names):
        status, body = 421, {"error": refusal(hosts)}
    elif words[1] == b"/livez":
        status, body = 200, {"live": True}  # type: ignore[dict-item]
    elif words[1] == b"/readyz":
        status, body = 503, {"ready": False, "reason": LOADING}  # type: ignore[dict-item]
    text = json.dumps(body, indent=2).encode() + b"\n"
    if words[:1] == [b"HEAD"]:
        text = b""
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(text)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode() + text
