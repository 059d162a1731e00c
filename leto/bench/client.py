"""One blocking connection that asks many questions: for the benchmark's own commands and its probes."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any

import hiredis

from leto.bench.workloads import BenchError
from leto.config import Address

READ_BYTES = 1 << 16
_INCOMPLETE = object()


class Connection:
    """Raises OSError (TimeoutError included) where the network fails; error replies are values (ReplyError)."""

    def __init__(self, address: Address, password: str | None = None, timeout: float = 5.0) -> None:
        self._socket = socket.create_connection((address.host or "127.0.0.1", address.port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        if password is not None:
            reply = self.ask(b"AUTH", password.encode())
            if isinstance(reply, hiredis.ReplyError):
                self.close()
                raise BenchError(f"{address} refused the password: {reply}")

    def ask(self, *command: bytes) -> Any:
        """The reply to one command."""
        self._socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]
        while (reply := self._reader.gets()) is _INCOMPLETE:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
        return reply

    def info(self, *sections: bytes) -> dict[str, str]:
        """INFO's fields by name; empty if the server has none of these sections."""
        reply = self.ask(b"INFO", *sections)
        if not isinstance(reply, bytes):
            return {}
        lines = reply.decode("utf-8", "replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def info(address: Address, *sections: bytes, password: str | None = None, timeout: float = 5.0) -> dict[str, str]:
    """INFO of a server. Raises BenchError if it cannot be asked."""
    try:
        with Connection(address, password, timeout) as connection:
            return connection.info(*sections)
    except OSError as error:
        raise BenchError(f"{address} cannot be asked: {error.strerror or error}") from None
