"""The smallest blocking Redis client: connect, authenticate, ask one question. No reactor, no retries."""

from __future__ import annotations

import socket
from typing import Any

import hiredis

from leto.config import Address
from leto.errors import LetoError

READ_SIZE = 1 << 16
MAX_REPLY_BYTES = 64 << 20
_INCOMPLETE = object()


class AskFailed(LetoError):
    """A node could not be asked; the message says which and why."""


def ask(address: Address, *command: bytes, password: str | None = None, timeout: float = 3.0) -> Any:
    """The reply to one command: bytes, int, None, list, or dict (RESP3 where the node speaks it, as Leto does).

    `timeout`, in seconds, bounds the connection and each wait for bytes. Raises AskFailed: unreachable, no answer in
    time, an answer that is no RESP, or an error reply (whose words it gives).
    """
    try:
        with socket.create_connection((address.host or "127.0.0.1", address.port), timeout) as connection:
            connection.settimeout(timeout)
            hello = [b"HELLO", b"3"]
            if password is not None:
                hello += [b"AUTH", b"default", password.encode()]
            reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
            _send(connection, hello)
            _answer(connection, reader, address)
            _send(connection, command)
            return _answer(connection, reader, address)
    except TimeoutError:
        raise AskFailed(f"{address} did not answer within {timeout:g} s") from None
    except OSError as error:
        raise AskFailed(f"{address} cannot be reached: {error.strerror or error}") from None


def _send(connection: socket.socket, command: tuple[bytes, ...] | list[bytes]) -> None:
    connection.sendall(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]


def _answer(connection: socket.socket, reader: hiredis.Reader, address: Address) -> Any:
    received = 0
    try:
        while (reply := reader.gets()) is _INCOMPLETE:
            data = connection.recv(READ_SIZE)
            received += len(data)
            if not data:
                raise AskFailed(f"{address} closed the connection without an answer")
            if received > MAX_REPLY_BYTES:
                raise AskFailed(f"{address} answered more than {MAX_REPLY_BYTES} bytes")
            reader.feed(data)
    except hiredis.ProtocolError as error:
        raise AskFailed(f"{address} does not speak the Redis protocol: {error}") from None
    if isinstance(reply, hiredis.ReplyError):
        raise AskFailed(f"{address} refused: {reply}")
    return reply
