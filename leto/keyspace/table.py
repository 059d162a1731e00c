"""Registers every command of the keyspace: a new file of commands is imported here, and that is all."""

from __future__ import annotations

from leto.keyspace import counters, expiration, introspection, keys, lcs, scanning, strings

__all__ = ["counters", "expiration", "introspection", "keys", "lcs", "scanning", "strings"]
