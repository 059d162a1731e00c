"""docs/compatibility.md, made from the command table: every command of Redis, and whether it is here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from leto.vocabulary.registry import Command

COMMANDS: Final[Mapping[str, str]] = {
    "bitmap": """
        BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS GETBIT SETBIT
    """,
    "cluster": """
        ASKING
        CLUSTER|ADDSLOTS|ADDSLOTSRANGE|BUMPEPOCH|COUNT-FAILURE-REPORTS|COUNTKEYSINSLOT|DELSLOTS|DELSLOTSRANGE|FAILOVER|FLUSHSLOTS|FORGET|GETKEYSINSLOT|HELP|INFO|KEYSLOT|LINKS|MEET|MYID|MYSHARDID|NODES|REPLICAS|REPLICATE|RESET|SAVECONFIG|SET-CONFIG-EPOCH|SETSLOT|SHARDS|SLAVES|SLOTS
        READONLY READWRITE
    """,
    "connection": """
        AUTH
        CLIENT|CACHING|GETNAME|GETREDIR|HELP|ID|INFO|KILL|LIST|NO-EVICT|NO-TOUCH|PAUSE|REPLY|SETINFO|SETNAME|TRACKING|TRACKINGINFO|UNBLOCK|UNPAUSE
        ECHO HELLO PING QUIT RESET SELECT
    """,
    "generic": """
        COPY DEL DUMP EXISTS EXPIRE EXPIREAT EXPIRETIME KEYS MIGRATE MOVE
        OBJECT|ENCODING|FREQ|HELP|IDLETIME|REFCOUNT PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PTTL RANDOMKEY
        RENAME RENAMENX RESTORE SCAN SORT SORT_RO TOUCH TTL TYPE UNLINK WAIT WAITAOF
    """,
    "geo": """
        GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEORADIUS_RO
        GEOSEARCH GEOSEARCHSTORE
    """,
    "hash": """
        HDEL HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGET HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT
        HKEYS HLEN HMGET HMSET HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSET
        HSETEX HSETNX HSTRLEN HTTL HVALS
    """,
    "hyperloglog": """
        PFADD PFCOUNT PFDEBUG PFMERGE PFSELFTEST
    """,
    "list": """
        BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH LINDEX LINSERT LLEN LMOVE LMPOP LPOP LPOS LPUSH LPUSHX
        LRANGE LREM LSET LTRIM RPOP RPOPLPUSH RPUSH RPUSHX
    """,
    "pubsub": """
        PSUBSCRIBE PUBLISH PUBSUB|CHANNELS|HELP|NUMPAT|NUMSUB|SHARDCHANNELS|SHARDNUMSUB PUNSUBSCRIBE
        SPUBLISH SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE UNSUBSCRIBE
    """,
    "scripting": """
        EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO
        FUNCTION|DELETE|DUMP|FLUSH|HELP|KILL|LIST|LOAD|RESTORE|STATS
        SCRIPT|DEBUG|EXISTS|FLUSH|HELP|KILL|LOAD
    """,
    "sentinel": """
        SENTINEL|CKQUORUM|CONFIG|DEBUG|FAILOVER|FLUSHCONFIG|GET-MASTER-ADDR-BY-NAME|HELP|INFO-CACHE|IS-MASTER-DOWN-BY-ADDR|MASTER|MASTERS|MONITOR|MYID|PENDING-SCRIPTS|REMOVE|REPLICAS|RESET|SENTINELS|SET|SIMULATE-FAILURE|SLAVES
    """,
    "server": """
        ACL|CAT|DELUSER|DRYRUN|GENPASS|GETUSER|HELP|LIST|LOAD|LOG|SAVE|SETUSER|USERS|WHOAMI BGREWRITEAOF
        BGSAVE COMMAND|COUNT|DOCS|GETKEYS|GETKEYSANDFLAGS|HELP|INFO|LIST
        CONFIG|GET|HELP|RESETSTAT|REWRITE|SET DBSIZE DEBUG FAILOVER FLUSHALL FLUSHDB INFO LASTSAVE
        LATENCY|DOCTOR|GRAPH|HELP|HISTOGRAM|HISTORY|LATEST|RESET LOLWUT
        MEMORY|DOCTOR|HELP|MALLOC-STATS|PURGE|STATS|USAGE MODULE|HELP|LIST|LOAD|LOADEX|UNLOAD MONITOR
        PSYNC REPLCONF REPLICAOF RESTORE-ASKING ROLE SAVE SHUTDOWN SLAVEOF SLOWLOG|GET|HELP|LEN|RESET
        SWAPDB SYNC TIME
    """,
    "set": """
        SADD SCARD SDIFF SDIFFSTORE SINTER SINTERCARD SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE
        SPOP SRANDMEMBER SREM SSCAN SUNION SUNIONSTORE
    """,
    "sorted-set": """
        BZMPOP BZPOPMAX BZPOPMIN ZADD ZCARD ZCOUNT ZDIFF ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD
        ZINTERSTORE ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE
        ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX
        ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION ZUNIONSTORE
    """,
    "stream": """
        XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP|CREATE|CREATECONSUMER|DELCONSUMER|DESTROY|HELP|SETID
        XINFO|CONSUMERS|GROUPS|HELP|STREAM XLEN XPENDING XRANGE XREAD XREADGROUP XREVRANGE XSETID XTRIM
    """,
    "string": """
        APPEND DECR DECRBY GET GETDEL GETEX GETRANGE GETSET INCR INCRBY INCRBYFLOAT LCS MGET MSET MSETNX
        PSETEX SET SETEX SETNX SETRANGE STRLEN SUBSTR
    """,
    "transactions": """
        DISCARD EXEC MULTI UNWATCH WATCH
    """,
}
"""Redis's up to 7.4, and those on hashes of 8.0, by the groups of COMMAND DOCS; a container's subcommands follow it
behind bars."""

_FIELDS = "planned: the expiry of fields"
_GEO = "planned"
_LOG = "not planned: Raft replicates; RAFT TRANSFER hands over"
_MESSAGES = "planned: messages in the order of the log"
_PROGRAMS = "planned: programs"
_REDIS_CLUSTER = "not planned: they administer a Redis Cluster; RAFT does it here"
_STREAMS = "planned"
_WAITING = "planned: who waits will be part of the replicated state"

MISSING: Final[Mapping[str, str]] = {
    "ACL": "planned, with users and TLS",
    "ASKING": "slots do not move between clusters yet",
    "BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN": _WAITING,
    "CLIENT|CACHING|GETREDIR|TRACKING|TRACKINGINFO": "planned, with messages",
    "CLIENT|UNBLOCK": "planned, with commands that wait",
    "CLUSTER|ADDSLOTS|ADDSLOTSRANGE|BUMPEPOCH|COUNT-FAILURE-REPORTS|DELSLOTS": _REDIS_CLUSTER,
    "CLUSTER|DELSLOTSRANGE|FAILOVER|FLUSHSLOTS|FORGET|LINKS|MEET|MYSHARDID": _REDIS_CLUSTER,
    "CLUSTER|REPLICAS|REPLICATE|RESET|SAVECONFIG|SET-CONFIG-EPOCH|SETSLOT|SLAVES": _REDIS_CLUSTER,
    "CLUSTER|COUNTKEYSINSLOT|GETKEYSINSLOT": "planned: keys by hash slot",
    "DUMP RESTORE RESTORE-ASKING MIGRATE": "planned, with RDB",
    "EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO SCRIPT": _PROGRAMS,
    "FUNCTION|DELETE|DUMP|KILL|LOAD|RESTORE|STATS": _PROGRAMS,
    "FAILOVER PSYNC REPLCONF REPLICAOF SLAVEOF SYNC WAITAOF": _LOG,
    "GEOADD GEODIST GEOHASH GEOPOS GEOSEARCH GEOSEARCHSTORE": _GEO,
    "GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEORADIUS_RO": _GEO,
    "HEXPIRE HEXPIREAT HEXPIRETIME HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HTTL": _FIELDS,
    "HGETDEL HGETEX HSETEX": _FIELDS,
    "MEMORY|MALLOC-STATS|PURGE": "not planned: they are about an allocator that is not here",
    "MODULE": "not planned: modules are programs of Redis's",
    "MONITOR": "planned",
    "MOVE SWAPDB": "planned: there is one database",
    "PFSELFTEST": "not planned: the tests do it",
    "PSUBSCRIBE PUBLISH PUBSUB PUNSUBSCRIBE SPUBLISH SSUBSCRIBE SUBSCRIBE": _MESSAGES,
    "SUNSUBSCRIBE UNSUBSCRIBE": _MESSAGES,
    "SENTINEL": "planned",
    "XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XINFO XLEN XPENDING XRANGE XREAD": _STREAMS,
    "XREADGROUP XREVRANGE XSETID XTRIM": _STREAMS,
}
"""Why a command is not here; a container alone stands for all of it. What is here need not be said."""

DIFFERENCES: Final[Mapping[str, str]] = {
    "BGREWRITEAOF BGSAVE SAVE": "a snapshot of the log is taken, if there is anything to take",
    "CONFIG|REWRITE": "writes the TOML file; see [options](options.md)",
    "COPY": "there is one database",
    "HRANDFIELD SRANDMEMBER ZRANDMEMBER": "a negative count draws at most 1,048,576",
    "OBJECT|ENCODING": "by what a value is, not by what it has been",
    "OBJECT|REFCOUNT": "always 1",
    "PFCOUNT": "a read: it writes nothing into the string",
    "ROLE": "roles of Raft, in Redis's form",
    "SCAN HSCAN SSCAN ZSCAN": "cursors are good on every node, and after a restart",
    "SELECT": "database 0 alone",
    "SHUTDOWN": "the node hands over first",
    "WAIT": "counts members of the cluster; what is acknowledged is on a majority already",
}
"""What differs of those that are here."""


def _names(words: str) -> Iterator[str]:
    """`A B|X|Y`: A, B X, B Y."""
    for word in words.split():
        container, *subcommands = word.split("|")
        yield from (f"{container} {name}" for name in subcommands) if subcommands else (container,)


def _explained(reasons: Mapping[str, str]) -> dict[str, str]:
    return {name: reason for words, reason in reasons.items() for name in _names(words)}


def here(commands: Mapping[bytes, Command]) -> set[str]:
    """The names of these, subcommands behind their containers."""
    found: set[str] = set()
    for command in commands.values():
        name = command.name.decode()
        found.add(name)
        found.update(f"{name} {sub.decode()}" for sub in command.subcommands)
    return found


def rows(group: str, there: set[str]) -> Iterator[tuple[str, str]]:
    """(command, what is to be said of it). Raises ValueError for one that is missing without a reason, or explained
    though it is here."""
    missing, differs = _explained(MISSING), _explained(DIFFERENCES)
    for word in COMMANDS[group].split():
        container, *subcommands = word.split("|")
        for name in (container, *(f"{container} {each}" for each in subcommands)):
            reason = missing.get(name) or missing.get(container)
            if name in there:
                if name in missing:
                    raise ValueError(f"{name} is here, and said to be missing: {missing[name]}")
                yield name, f"differs: {differs[name]}" if name in differs else "yes"
            elif reason is None:
                raise ValueError(f"{name} is missing, and nothing says why")
            else:
                yield name, f"no: {reason}"
