"""Configurations: their bytes, their sets, and which changes are legal."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leto.errors import ConfigurationRefused
from leto.raft.configuration import (
    Configuration,
    Member,
    check_change,
    decode,
    demoted,
    encode,
    final,
    is_simple_change,
    joint,
    promoted,
    with_level,
    with_member,
    without_member,
)
from leto.raft.quorum import majority


def voters(ids):
    return tuple(Member(id, f"{id}:1", True) for id in sorted(ids))


def plain(ids, learners=""):
    members = [*voters(ids), *(Member(id, f"{id}:1", False) for id in learners)]
    return Configuration(tuple(sorted(members, key=lambda m: m.id)))


names = st.sets(st.sampled_from("abcdefg"))
configurations_ = st.builds(
    lambda v, learners, old: Configuration(plain(v, learners - v).members, voters(old)), names, names, names
)


@given(configurations_)
def test_what_is_encoded_is_decoded(configuration):
    assert decode(encode(configuration)) == configuration


def test_the_bytes_in_the_log_are_fixed():
    """They are on disk: a change of them breaks every log."""
    configuration = Configuration((Member("a", "h:1", True),), (Member("b", "h:2", True, False, "h:3", "d"),))
    assert encode(configuration).hex() == ("939196a161a3683a31c3c2a0a09196a162a3683a32c3c2a3683a33a16401")
    assert encode(with_level(configuration, 300)).hex().endswith("cd012c")


def test_the_bytes_of_an_older_version_are_understood():
    assert decode(bytes.fromhex("919193a161a3683a31c3")) == Configuration((Member("a", "h:1", True),))
    assert decode(bytes.fromhex("929196a161a3683a31c3c2a0a090")).level == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x90\x90",
        b"\x92\x01\x90",
        msgspec.msgpack.encode([[["a", "h:1", True], ["a", "h:2", True]], []]),
        msgspec.msgpack.encode([[["b", "h:1", True], ["a", "h:2", True]], []]),
        msgspec.msgpack.encode([[["", "h:1", True]], []]),
        msgspec.msgpack.encode([[["a", "h:1", 1]], []]),
        msgspec.msgpack.encode([[], [["b", "h:1", True], ["a", "h:2", True]]]),
    ],
)
def test_rubbish_is_no_configuration(payload):
    with pytest.raises(ValueError):
        decode(payload)


@given(st.binary(max_size=40))
def test_no_bytes_make_decode_raise_anything_else(payload):
    try:
        configuration = decode(payload)
    except ValueError:
        return
    assert decode(encode(configuration)) == configuration


def test_the_sets_of_a_joint_configuration():
    configuration = joint(plain("abc", "l"), plain("ade", "cl"))
    assert configuration.is_joint
    assert configuration.voter_ids() == ("a", "d", "e")
    assert configuration.outgoing_ids() == ("a", "b", "c")
    assert configuration.learner_ids() == ("l",)  # c votes till the change is done
    assert configuration.ids() == ("a", "b", "c", "d", "e", "l")
    assert [configuration.votes(id) for id in "abcdelx"] == [True] * 5 + [False] * 2
    assert configuration.member("b") == Member("b", "b:1", True)
    assert configuration.member("x") is None
    assert final(configuration) == plain("ade", "cl")


def test_members_come_go_and_change_their_role():
    configuration = with_member(plain("ac"), Member("b", "b:1", False, joining=True))
    assert configuration.ids() == ("a", "b", "c") and configuration.voter_ids() == ("a", "c")
    configuration = promoted(configuration, "b")
    assert configuration == plain("abc")
    assert demoted(configuration, "b") == plain("ac", "b")
    assert without_member(configuration, "b") == plain("ac")
    assert without_member(configuration, "x") == configuration
    moved = with_member(configuration, Member("b", "elsewhere:2", True))
    assert moved.member("b").address == "elsewhere:2" and moved.voter_ids() == ("a", "b", "c")
    with pytest.raises(ConfigurationRefused, match="not a member"):
        promoted(configuration, "x")
    with pytest.raises(ConfigurationRefused, match="not a member"):
        demoted(configuration, "x")


LOST_ITS_DISK = Member("b", "b:1", False, joining=True, incarnation="2")


@pytest.mark.parametrize(
    ("current", "target", "why"),
    [
        (joint(plain("abc"), plain("ade")), plain("ade"), "in flight"),
        (plain("abc"), joint(plain("abc"), plain("ade")), "final configuration"),
        (plain("a"), plain(""), "last voter"),
        (plain("a"), plain("", "a"), "last voter"),
        (plain("a"), Configuration(), "last voter"),
        (
            plain("a"),
            Configuration((Member("a", "h:1", True), Member("b", "h:1", False))),
            "a and b cannot both be reached",
        ),
        (plain("a"), Configuration((Member("a", "h:1", True), Member("a", "h:2", True))), "twice"),
        (plain("a"), Configuration((Member("", "h:1", True),)), "without an id"),
        (plain("a"), Configuration((Member("a", "a:1", True, joining=True),)), "joining"),
        (plain("ab"), Configuration((*voters("a"), Member("b", "b:1", True, incarnation="2"))), "learner"),
        (plain("abc"), Configuration((*voters("a"), LOST_ITS_DISK, *voters("d"))), "change of its own"),
    ],
)
def test_changes_that_must_not_be_made(current, target, why):
    with pytest.raises(ConfigurationRefused, match=why):
        check_change(current, target)


def test_changes_that_may_be_made():
    for target in (plain("abc", "l"), plain("abcd"), plain("ab"), plain("def"), plain("ab", "c")):
        check_change(plain("abc"), target)
    check_change(plain("a"), Configuration((Member("a", "", True), Member("b", "", False))))
    check_change(plain("abc"), with_member(plain("abc"), LOST_ITS_DISK))
    check_change(plain("ac", "b"), Configuration((*voters("a"), LOST_ITS_DISK, *voters("d"))))


@given(names.filter(bool), names.filter(bool))
def test_after_a_simple_change_any_two_majorities_meet(before, after):
    """Dissertation 4.1; and what is not simple goes through a joint configuration, which meets both."""
    if is_simple_change(plain(before), plain(after)):
        assert majority(before) + majority(after) > len(before | after)
    else:
        assert len(before ^ after) > 1
        both = joint(plain(before), plain(after))
        assert set(both.outgoing_ids()) == before and set(both.voter_ids()) == after
