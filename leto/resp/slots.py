"""Redis Cluster's hash slots: which of the 16384 a key belongs to (Redis cluster specification, key distribution)."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence

from leto.vocabulary.registry import KEYSPACE

SLOTS = 16384


def key_slot(key: bytes) -> int:
    """CRC16 (XMODEM) of the key, or of what stands in its first {...} if that is not empty, modulo 16384."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def first_key(argv: Sequence[bytes]) -> bytes | None:
    """The first key that a keyspace command names; None if it takes none."""
    command = KEYSPACE.get(argv[0].upper())
    if command is not None and command.subcommands and len(argv) > 1:
        command = command.subcommands.get(argv[1].upper())
    if command is None or not command.has_keys:
        return None
    try:
        places = command.key_places(argv)
    except (ValueError, IndexError):  # its arity was not checked
        return None
    return argv[places[0]] if places and places[0] < len(argv) else None
