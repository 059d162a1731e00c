"""Questions that a node asks of a member's client port, as a client of its own cluster."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.protocol import Factory
from txredisapi import RedisError, RedisProtocol, ResponseError

from leto.config import Address, Config

NOT_THE_LEADER = "node is not the leader"
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 15.0
UNREACHABLE = (RedisError, ConnectError, ConnectionClosed, OSError)  # what a connection fails with


class Asked:
    """A connection to one member. Errors: ResponseError (what it answers), UNREACHABLE."""

    def __init__(self, connection: RedisProtocol) -> None:
        self._connection = connection

    @classmethod
    async def connect(cls, reactor: Any, config: Config, member: Address) -> Asked:
        """Connected, and in with the clients' password."""
        endpoint = HostnameEndpoint(reactor, member.host or "127.0.0.1", member.port, timeout=CONNECT_SECONDS)
        factory = Factory.forProtocol(lambda: RedisProtocol(errors="replace", replyTimeout=ANSWER_SECONDS))
        factory.noisy = False
        connection: RedisProtocol = await endpoint.connect(factory)  # type: ignore[arg-type]
        asked = cls(connection)
        try:
            if config.password is not None:
                await asked.call("AUTH", config.password)
        except BaseException:
            asked.close()
            raise
        return asked

    async def call(self, *words: str) -> str:
        """One command."""
        answer = await self._connection.execute_command(*words)
        return answer if isinstance(answer, str) else str(answer)

    async def raft_info(self) -> dict[str, str]:
        """INFO raft. Raises ResponseError if no node of a cluster answers."""
        lines = (await self.call("INFO", "raft")).splitlines()
        info = {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
        if not info.get("raft_cluster_id"):
            raise ResponseError("it is no Leto node: INFO raft names no cluster")
        return info

    def close(self) -> None:
        self._connection.transport.loseConnection()


def named_leader(error: ResponseError) -> Address:
    """Whom a member that does not lead names instead. Raises ResponseError where it names nobody, `error` itself where
    that is not what it says."""
    text = str(error)
    if not text.startswith(NOT_THE_LEADER):
        raise error
    named = text[len(NOT_THE_LEADER) :].strip()
    if not named:
        raise ResponseError("the cluster has no leader at the moment") from None
    return Address.parse(named)
