"""What a user sees at a terminal: redis-cli, or where it is not installed, the little of it that the tests type."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
from typing import BinaryIO

TIMEOUT = 20.0  # seconds


def type_in(port: int, lines: list[list[str]]) -> str:
    """What redis-cli prints for these commands, one after the other on one connection."""
    if shutil.which("redis-cli") is None:
        return stand_in(port, lines)
    command = ["redis-cli", "-p", str(port), "--no-raw"]
    text = "".join(shlex.join(words) + "\n" for words in lines)
    done = subprocess.run(
        [*command, *lines[0]] if len(lines) == 1 else command,
        input=None if len(lines) == 1 else text,
        stdin=subprocess.DEVNULL if len(lines) == 1 else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=TIMEOUT,
        check=False,
    )
    return done.stdout.rstrip("\n")


def stand_in(port: int, lines: list[list[str]]) -> str:
    """The same, printed by us: simple strings bare, bulk strings quoted, errors and nil in brackets."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection, connection.makefile("rb") as replies:
        printed = []
        for words in lines:
            parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
            connection.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
            printed.append(_printed(replies))
        return "\n".join(printed)


def _printed(replies: BinaryIO) -> str:
    line = replies.readline()
    assert line.endswith(b"\r\n"), f"no whole reply: {line!r}"
    kind, text = line[:1], line[1:-2].decode()
    if kind == b"$" and text != "-1":
        value = replies.read(int(text) + 2)[:-2].decode()
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    printed = {b"+": text, b"-": f"(error) {text}", b":": f"(integer) {text}", b"$": "(nil)"}
    assert kind in printed, f"the tests type nothing that is answered by {line!r}"
    return printed[kind]
