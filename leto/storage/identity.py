"""Whose directory it is: the identity file, and the short tag that every other file carries.

`leto.identity` is text, so that an operator can read it:

    leto identity 1
    cluster 0123456789abcdef0123456789abcdef
    server id1
    crc 1c291ca3

A node that joined has a line `incarnation NAME` before the last one, which is the CRC-32 of the lines before it, in
hex. The file is written once and is the last one to be created: a directory without it holds no node.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from leto.checksums import crc32
from leto.errors import CorruptStorage, StorageError
from leto.interfaces.store import Identity

NAME = "leto.identity"
MAX_ID_BYTES = 256
_TITLE = "leto identity 1"


@dataclass(frozen=True, slots=True)
class Owner:
    """The identity as binary files carry it."""

    cluster: bytes  # 16 bytes
    server: bytes  # 8 bytes: the beginning of SHA-256(server id)

    @classmethod
    def of(cls, identity: Identity) -> Owner:
        return cls(bytes.fromhex(identity.cluster_id), hashlib.sha256(identity.server_id.encode()).digest()[:8])

    def difference(self, other: Owner) -> str:
        """In words, whose this is, seen from `other`."""
        if self.cluster != other.cluster:
            return f"another cluster ({self.cluster.hex()}, this node's is {other.cluster.hex()})"
        return "another node of this cluster"


def check(identity: Identity) -> None:
    """Raises StorageError, with a sentence, for ids that could not be stored."""
    cluster = identity.cluster_id
    if len(cluster) != 32 or not all(c in "0123456789abcdef" for c in cluster):
        raise StorageError(f"{cluster!r} is no cluster id: it must be 32 lower-case hexadecimal digits")
    check_server_id(identity.server_id)
    if identity.incarnation and not (identity.incarnation.isascii() and identity.incarnation.isalnum()):
        raise StorageError(f"{identity.incarnation!r} is no incarnation: it must be ASCII letters and digits")


def check_server_id(server_id: str) -> bytes:
    """The id's bytes. Raises StorageError if it is empty, too long, or not printable text."""
    try:
        data = server_id.encode()
    except UnicodeEncodeError:
        raise StorageError(f"{server_id!r} is no server id: it cannot be written as UTF-8") from None
    if not data or len(data) > MAX_ID_BYTES or not server_id.isprintable():
        raise StorageError(f"{server_id!r} is no server id: it must be 1 to {MAX_ID_BYTES} bytes of printable text")
    return data


def encode(identity: Identity) -> bytes:
    check(identity)
    text = f"{_TITLE}\ncluster {identity.cluster_id}\nserver {identity.server_id}\n"
    if identity.incarnation:
        text += f"incarnation {identity.incarnation}\n"
    lines = text.encode()
    return lines + f"crc {crc32(lines):08x}\n".encode()


def decode(data: bytes, path: str) -> Identity:
    """Raises CorruptStorage."""
    try:
        title, cluster, server, *more, _, rest = data.decode().split("\n")
        incarnation = more[0].removeprefix("incarnation ") if more else ""
        identity = Identity(cluster.removeprefix("cluster "), server.removeprefix("server "), incarnation)
        good = title == _TITLE and not rest and encode(identity) == data
    except (ValueError, StorageError):
        good = False
    if not good:
        raise CorruptStorage(
            f"{path}: the identity file is damaged; restore it: it names the cluster and the server whose data this is"
        )
    return identity
