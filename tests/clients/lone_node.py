"""A node of one in a process of its own: `python lone_node.py [field=value ...]` prints its port and serves."""

from __future__ import annotations

import resource
import sys

from twisted.internet import reactor
from twisted.internet.ssl import CertificateOptions  # noqa: F401 - the reactor's TLS is loaded as in a real node

from leto.clients.protocol import RespFactory
from leto.commands import CONNECTION
from leto.config import Address, Config
from leto.keyspace.machine import Machine
from leto.reactor.sockets import SocketReaders
from leto.twins.replica import LoneReplica


def main(arguments: list[str]) -> None:
    """`files=N` limits the file descriptors; other words set fields of Config (numbers as ints)."""
    given = dict(argument.split("=", 1) for argument in arguments)
    files = given.pop("files", None)
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(files), int(files)))
    fields = {name: int(value) if value.isdigit() else value for name, value in given.items()}
    replica = LoneReplica(Machine(random=lambda: 0.5), wall_ms=lambda: 1_700_000_000_000)
    factory = RespFactory(
        replica,
        Config(id="lone", **fields),
        reactor,
        commands=CONNECTION,
        shutdown=reactor.stop,
        readers=SocketReaders(reactor),
    )
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    factory.state.config = Config(id="lone", listen=Address("127.0.0.1", port.getHost().port), **fields)
    replica.leader_address = f"127.0.0.1:{port.getHost().port}"
    print(port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
