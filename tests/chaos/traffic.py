"""python -m tests.chaos.traffic: what gets from whom to whom under each fault of the kernel's network, as JSON.

To be started inside namespaces (tests.chaos.namespaces.inside).
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from tests.chaos.namespaces import DROPS, HARNESS, NAMES, Namespaces, Place

CLONE_NEWNET = 0x40000000
PORT = 4000
PATIENCE = 0.1  # seconds: on one machine a packet that passes does so at once
TRIES = 3
PATIENT_TRIES = 100  # where all should pass: a question for an Ethernet address may still be waiting in vain


def make_in(place: Place | None, make: Callable[[], socket.socket]) -> socket.socket:
    """A socket belongs to the network in which its thread was when it was made."""
    found: list[socket.socket] = []

    def run() -> None:
        if place is not None:
            handle = os.open(f"{NAMES}/{place.namespace}", os.O_RDONLY)
            if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            os.close(handle)
        found.append(make())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


def datagram(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, PORT))
    made.settimeout(PATIENCE)
    return made


def dialled(address: tuple[str, int]) -> socket.socket:
    """A connection, as soon as one can be made."""
    for _ in range(PATIENT_TRIES):
        try:
            return socket.create_connection(address, 1)
        except OSError:
            continue
    raise OSError(f"no connection to {address}")


class Ends:
    """A datagram socket at each node and at the harness, and one connection from node a to node b."""

    def __init__(self, places: list[Place]) -> None:
        self.addresses = {place.server_id: place.address for place in places} | {"harness": HARNESS}
        where: list[tuple[str, Place | None]] = [(place.server_id, place) for place in places]
        where.append(("harness", None))
        self.sockets = {
            name: make_in(place, lambda name=name: datagram(self.addresses[name]))  # type: ignore[misc]
            for name, place in where
        }
        listener = make_in(places[1], lambda: socket.create_server((self.addresses["b"], PORT)))
        self.dialled = make_in(places[0], lambda: dialled((self.addresses["b"], PORT)))
        with closing(listener):
            self.accepted, _ = listener.accept()
        self.accepted.settimeout(PATIENCE)
        self.dialled.settimeout(PATIENCE)
        self._serial = 0

    def passes(self, source: str, destination: str, tries: int) -> bool:
        """Whether one of some datagrams arrives."""
        for _ in range(tries):
            self._serial += 1
            said = b"%d" % self._serial
            try:
                self.sockets[source].sendto(said, (self.addresses[destination], PORT))
                while self.sockets[destination].recv(100) != said:
                    pass
            except OSError:
                continue
            return True
        return False

    def stream_passes(self) -> bool:
        """Whether the connection still carries bytes from a to b."""
        try:
            self.dialled.send(b"x")
            return bool(self.accepted.recv(1000))
        except OSError:
            return False

    def matrix(self, tries: int) -> dict[str, bool]:
        names = list(self.sockets)
        found = {f"{one}>{other}": self.passes(one, other, tries) for one in names for other in names if one != other}
        return found | {"stream a>b": self.stream_passes()}


@contextmanager
def under(namespaces: Namespaces, begin: Callable[[], None]) -> Iterator[None]:
    begin()
    try:
        yield
    finally:
        namespaces.heal()


def drop_twice(namespaces: Namespaces) -> None:
    """Some of it is dropped already."""
    namespaces.drop([("a", "b")])
    namespaces.drop([("a", "b"), ("b", "a")])


def main() -> None:
    namespaces = Namespaces(1)
    places = [namespaces.place(server_id) for server_id in "abc"]
    faults: dict[str, Callable[[], None]] = {
        "none": lambda: None,
        **{way: lambda way=way: namespaces.drop([("a", "b")], [way]) for way in DROPS},  # type: ignore[misc]
        "twice": lambda: drop_twice(namespaces),
        "unplugged": lambda: namespaces.unplug("a"),
    }
    found: dict[str, dict[str, bool]] = {}
    for name, begin in faults.items():
        ends = Ends(places)
        with under(namespaces, begin):
            found[name] = ends.matrix(PATIENT_TRIES if name == "none" else TRIES)
        for each in (*ends.sockets.values(), ends.dialled, ends.accepted):
            each.close()
        ends = Ends(places)
        found[f"healed of {name}"] = ends.matrix(PATIENT_TRIES)
        for each in (*ends.sockets.values(), ends.dialled, ends.accepted):
            each.close()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
