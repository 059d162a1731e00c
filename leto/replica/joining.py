"""How a node comes to its first log: by bootstrapping a cluster of one, or by asking members until one takes it.

The order of a join is what makes a wiped disk harmless: the node asks first, says nothing to its peers until the
cluster has committed it as a learner of this incarnation, and only then makes the directory its own. A crash before
that leaves an empty directory, and the next attempt is a new incarnation.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.task import deferLater
from twisted.logger import Logger
from txredisapi import ResponseError

from leto.config import Address, Config
from leto.interfaces.store import Identity, Store
from leto.keyspace.machine import understood
from leto.raft.configuration import Configuration, Member, encode
from leto.raft.messages import Entry, EntryKind, HardState
from leto.replica.addresses import advertised, advertised_client
from leto.replica.asking import UNREACHABLE, Asked, named_leader
from leto.replica.forming import Waiting, judge

RETRY_SECONDS = 0.5
MOST_REFERRALS = 4  # from one member to another that it names as the leader


def needs_bootstrap(store: Store, config: Config) -> bool:
    """An empty directory without --join, or one whose bootstrap was cut short.

    The mark of the latter is an empty log under an identity without incarnation, which a joiner never writes. Nobody
    else has heard of that cluster, since a node begins to serve after its bootstrap: to finish it is as good as new.
    """
    if store.last_index > 0 or store.snapshot is not None:
        return False
    if store.identity is None:
        return not config.join
    hard_state = store.hard_state
    return not store.identity.incarnation and (hard_state.term, hard_state.vote) in ((0, ""), (1, config.id))


def bootstrap(store: Store, config: Config, new_cluster_id: Callable[[], str]) -> None:
    """Make the directory a cluster of one, durably. May be repeated after a crash at any step."""
    member = Member(config.id, str(advertised(config)), True, False, str(advertised_client(config)))
    store.identify(store.identity or Identity(new_cluster_id(), config.id))
    store.write(HardState(term=1, vote=config.id, commit=0), [], True)
    entry = Entry(1, 1, int(EntryKind.CONFIGURATION), encode(Configuration(members=(member,))))
    store.write(None, [entry], True)


class Joiner:
    """Asks the members at config.join, and whom they name as the leader, until the cluster has taken this node, or it
    is to found one together with others that wait alike (leto.replica.forming)."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        config: Config,
        incarnation: str,
        introduce: Callable[[Identity], object],
        announce: Callable[[Waiting], object] | None = None,
    ) -> None:
        """`introduce`: from now on this node must answer, on its peers' port, who asks whether it is that. `announce`:
        and this is what it is to its clients, among whom are others that wait; None: it has data, and founds nothing.
        """
        self._reactor = reactor
        self._config = config
        self._incarnation = incarnation
        self._introduce = introduce
        self._said = ""
        self._own = Waiting(config.id, uuid.uuid4().hex, config.bootstrap_expect)
        self._announce = announce
        self.may_found = announce is not None and config.bootstrap_expect > 0

    @property
    def waits_for(self) -> str:
        """Why the cluster has not taken this node yet; "" before it was asked."""
        return self._said

    async def join(self) -> Identity | None:
        """Retries for ever; says what it waits for, once a reason. Gives the identity to store; None: this node is to
        found the cluster."""
        if self._announce is not None:
            self._announce(self._own)
        while True:
            reasons: list[str] = []
            answers: dict[str, Waiting | None] = {}
            for seed in self._config.join:
                try:
                    return await self._join_through(seed)
                except ResponseError as error:
                    answers[str(seed)] = waiting = Waiting.parse(str(error))
                    is_own = str(error) == f"LOADING {self._own}" and len(self._config.join) > 1
                    if not is_own and (waiting is None or not self.may_found):
                        reasons.append(f"{seed} answers: {error}")
                except UNREACHABLE as error:
                    answers[str(seed)] = None
                    reasons.append(f"{seed} cannot be reached: {error or type(error).__name__}")
            if self.may_found and self._is_to_found(answers, reasons):
                return None
            self._say("; ".join(reasons))
            await deferLater(self._reactor, RETRY_SECONDS)

    def _is_to_found(self, answers: Mapping[str, Waiting | None], reasons: list[str]) -> bool:
        verdict = judge(self._own, answers)
        self._own = replace(self._own, sees=verdict.sees)
        if self._announce is not None:
            self._announce(self._own)
        if verdict.reason:
            reasons.append(verdict.reason)
        return verdict.founds

    async def _join_through(self, seed: Address) -> Identity:
        """Ask there, or whoever is named as the leader. Raises ResponseError, or what a connection fails with."""
        member = seed
        for _ in range(MOST_REFERRALS):
            try:
                cluster_id, leader = await self._ask(member)
            except ResponseError as error:
                if member == seed:
                    raise
                raise ResponseError(f"{member} leads, which answers: {error}") from None
            if leader is None:
                self.log.info("joined cluster {cluster} through {member}", cluster=cluster_id, member=str(member))
                return Identity(cluster_id, self._config.id, self._incarnation)
            if leader == member:
                break
            member = leader
        raise ResponseError("the leader is changing")

    async def _ask(self, member: Address) -> tuple[str, Address | None]:
        """(cluster id, None) once taken; (cluster id, leader) if another member must be asked."""
        config = self._config
        asked = await Asked.connect(self._reactor, config, member)
        try:
            info = await asked.raft_info()
            cluster_id, level = info["raft_cluster_id"], info.get("raft_cluster_level", "")
            if level.isdecimal() and int(level) > understood():
                raise ResponseError(
                    f"the cluster is at level {level}, and this version of Leto understands level {understood()}: "
                    "start the version that its members run"
                )
            self._introduce(Identity(cluster_id, config.id, self._incarnation))
            try:
                await asked.call(
                    "JOIN",
                    str(config.advertise or config.raftbind),
                    config.id,
                    str(config.advertise_client or config.listen),
                    self._incarnation,
                )
            except ResponseError as error:
                return cluster_id, named_leader(error)
            return cluster_id, None
        finally:
            asked.close()

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            self.log.info("waiting for the cluster to take this node: {reason}", reason=reason)
