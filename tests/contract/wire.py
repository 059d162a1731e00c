"""Requests and replies as bytes on the wire."""

from __future__ import annotations

import socket

import hiredis

from tests.integration.cluster import Node


def packed(*words: str | bytes) -> bytes:
    """One request as a client sends it."""
    return hiredis.pack_command(words)


def exchange(connection: socket.socket, request: bytes, size: int | None = None) -> bytes:
    """Send `request` and give the reply's bytes: whole lines, or at least `size` bytes; b"" if the node closed."""
    connection.sendall(request)
    reply = b""
    while not reply.endswith(b"\r\n") or (size is not None and len(reply) < size):
        data = connection.recv(65536)
        if not data:
            break
        reply += data
    return reply


def ask(node: Node, *words: str | bytes, size: int | None = None) -> bytes:
    """The bytes that answer one request on a fresh connection."""
    with node.connect() as connection:
        return exchange(connection, packed(*words), size)
