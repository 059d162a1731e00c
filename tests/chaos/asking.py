"""Short questions to nodes that may be dead, asleep or lost: bounded, and never an exception."""

from __future__ import annotations

import socket

import hiredis

from tests.chaos.specification import pack
from tests.integration.cluster import Node

ASK_SECONDS = 1.0


def ask(node: Node, *words: str, timeout: float = ASK_SECONDS) -> object:
    """One command on a connection of its own: the reply, a ReplyError, or None if there is none in time."""
    parser = hiredis.Reader()
    try:
        with socket.create_connection((node.reached_at, node.client_port.number), timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(pack([[word.encode() for word in words]]))
            while (reply := parser.gets()) is False:
                data = connection.recv(64 << 10)
                if not data:
                    return None
                parser.feed(data)
            return reply
    except OSError:
        return None


def info(node: Node) -> dict[str, str]:
    """INFO raft, or {}."""
    reply = ask(node, "INFO", "raft", timeout=0.5)
    if not isinstance(reply, bytes):
        return {}
    return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)


def waits_to_join(node: Node) -> bool:
    """Whether it runs and no cluster has taken it yet."""
    reply = ask(node, "PING", timeout=0.5) if node.is_running else None
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith("LOADING ")
