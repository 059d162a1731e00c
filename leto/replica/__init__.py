"""The Deferred-driven heart: joins raft, storage, keyspace and peers. The only room with consensus timers."""

from leto.replica.replica import Replica

__all__ = ["Replica"]
