"""Registers every command of the keyspace: a new file of commands is imported here, and that is all."""

from __future__ import annotations

from leto.keyspace import counters, keys, strings

__all__ = ["counters", "keys", "strings"]
