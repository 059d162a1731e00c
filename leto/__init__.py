"""Leto: a strongly consistent key-value store that speaks the Redis protocol."""

__version__ = "0.2.0.dev0"
