"""What answers on a peers' port as a node that waits to be taken in: it says who it is, and nothing else."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

from leto.errors import ProtocolError
from leto.keyspace.machine import understood
from leto.peer.frames import FrameReader
from leto.peer.handshake import AcceptorHandshake, Introduction


class PeerStandIn:
    """Listens at `address` (the OS picks the port) from the beginning of the context to its end."""

    def __init__(self, cluster_id: str, server_id: str, incarnation: str = "", port: int = 0) -> None:
        self._own = Introduction(cluster_id, server_id, b"s" * 16, "", "", 0, incarnation, understood())
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen()
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> PeerStandIn:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(5.0)
        reader, handshake = FrameReader(), AcceptorHandshake(self._own, None, b"n" * 32, lambda hello: None)
        try:
            while handshake.result is None:
                data = connection.recv(4096)
                if not data:
                    return
                for kind, body in reader.feed(data):
                    connection.sendall(handshake.receive(kind, body))
        except (OSError, ProtocolError):
            return
