"""A member of another cluster that dials this node by its id: it is told apart from all other strangers."""

from __future__ import annotations

import pytest
import pytest_twisted

from leto.interfaces.transport import Claim
from leto.peer.frames import Kind, frame
from leto.peer.greetings import RefusalCode, Refused, decode, encode
from tests.peer.peer_fixtures import TcpWorld
from tests.peer.test_peer_tcp import Raw, hello

OTHER = "d" * 32


WORLDS = {"no secret": {"confirm_peers": True}, "nobody is asked": {}, "a secret": {"secret": b"s3cret"}}


@pytest_twisted.async_yield_fixture(params=WORLDS.values(), ids=list(WORLDS))
async def world(request: pytest.FixtureRequest):
    world = TcpWorld(**request.param)
    yield world
    await world.stop()


async def claims_of(world: TcpWorld, dialled: str, *, starts: bool = True, **options: object) -> list[Claim]:
    """What the node `b` hears while a member of another cluster dials it as `dialled`."""
    claims: list[Claim] = []
    b = world.node("b", starts=starts, on_claim=claims.append)
    a = world.node("a", cluster=OTHER, **options)
    a.transport.set_peers({dialled: b.address})
    await world.settle()
    assert not a.transport.is_connected(dialled)
    assert not b.transport.incoming()
    return claims


@pytest.mark.parametrize("starts", [True, False], ids=["serves", "founds"])
@pytest_twisted.ensureDeferred
async def test_a_member_of_another_cluster_claims_this_node(world: TcpWorld, starts: bool) -> None:
    claims = await claims_of(world, "b", starts=starts)
    assert claims
    assert {(claim.cluster_id, claim.member_id) for claim in claims} == {(OTHER, "a")}
    assert all(claim.remote.startswith("127.0.0.1:") for claim in claims)


@pytest_twisted.ensureDeferred
async def test_one_that_means_another_node_or_knows_another_secret_claims_nothing(world: TcpWorld) -> None:
    assert not await claims_of(world, "c")
    assert not await claims_of(world, "b", secret=b"another")


@pytest_twisted.ensureDeferred
async def test_one_that_only_asks_who_is_there_claims_nothing(world: TcpWorld) -> None:
    claims: list[Claim] = []
    b = world.node("b", on_claim=claims.append)
    a = world.node("a", cluster=OTHER)
    with pytest.raises(ConnectionError):
        await a.transport.meet("b", b.address, None, 5.0)
    assert not claims


@pytest_twisted.ensureDeferred
async def test_members_of_the_same_cluster_claim_nothing(world: TcpWorld) -> None:
    claims: list[Claim] = []
    b = world.node("b", on_claim=claims.append)
    a = world.node("a")
    a.transport.set_peers({"b": b.address})
    await world.until(lambda: a.transport.is_connected("b"))
    assert not claims


@pytest_twisted.ensureDeferred
async def test_a_stranger_that_no_node_answers_for_claims_nothing(tcp, lines):
    """Else anybody on the host ended a lone node with one greeting."""
    claims: list[Claim] = []
    b, bystander = tcp.node("b", on_claim=claims.append, confirm_peers=True), tcp.node("a", cluster=OTHER)
    for address in ("", bystander.address, "127.0.0.1:1"):
        raw = Raw(tcp, b)
        raw.send(frame(Kind.HELLO, encode(hello("b", "a", address=address, cluster=OTHER))))
        [(kind, body)] = await raw.until_frames(1)
        await raw.until_closed()
        assert (kind, decode(body, Refused).code) == (Kind.REFUSED, RefusalCode.CLUSTER)
    assert not claims
