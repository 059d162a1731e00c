"""The command table: one registration a command, consistent in itself, with what Redis 7.0.15 tells of it."""

from __future__ import annotations

import pytest

from leto.keyspace.machine import INTERNAL
from leto.keyspace.registry import KEYSPACE, Registry
from leto.keyspace.replies import Error

COMMANDS = [command for parent in KEYSPACE.values() for command in (parent, *parent.subcommands.values())]

# name: arity, flags, first key, last key, step, as COMMAND INFO of Redis 7.0.15 lists them
REDIS = """
append 3 denyoom fast write 1 1 1
copy -3 denyoom write 1 2 1
dbsize 1 fast readonly 0 0 0
decr 2 denyoom fast write 1 1 1
decrby 3 denyoom fast write 1 1 1
del -2 write 1 -1 1
exists -2 fast readonly 1 -1 1
expire -3 fast write 1 1 1
expireat -3 fast write 1 1 1
expiretime 2 fast readonly 1 1 1
flushall -1 write 0 0 0
flushdb -1 write 0 0 0
get 2 fast readonly 1 1 1
getdel 2 fast write 1 1 1
getex -2 fast write 1 1 1
getrange 4 readonly 1 1 1
getset 3 denyoom fast write 1 1 1
incr 2 denyoom fast write 1 1 1
incrby 3 denyoom fast write 1 1 1
incrbyfloat 3 denyoom fast write 1 1 1
keys 2 readonly 0 0 0
lcs -3 readonly 1 2 1
mget -2 fast readonly 1 -1 1
mset -3 denyoom write 1 -1 2
msetnx -3 denyoom write 1 -1 2
object -2 0 0 0
object|encoding 3 readonly 2 2 1
object|freq 3 readonly 2 2 1
object|help 2 loading stale 0 0 0
object|idletime 3 readonly 2 2 1
object|refcount 3 readonly 2 2 1
persist 2 fast write 1 1 1
pexpire -3 fast write 1 1 1
pexpireat -3 fast write 1 1 1
pexpiretime 2 fast readonly 1 1 1
psetex 4 denyoom write 1 1 1
pttl 2 fast readonly 1 1 1
randomkey 1 readonly 0 0 0
rename 3 write 1 2 1
renamenx 3 fast write 1 2 1
scan -2 readonly 0 0 0
set -3 denyoom write 1 1 1
setex 4 denyoom write 1 1 1
setnx 3 denyoom fast write 1 1 1
setrange 4 denyoom write 1 1 1
strlen 2 fast readonly 1 1 1
substr 4 readonly 1 1 1
touch -2 fast readonly 1 -1 1
ttl 2 fast readonly 1 1 1
type 2 fast readonly 1 1 1
unlink -2 fast write 1 -1 1
"""


def test_arity_flags_and_keys_are_redis_own():
    ours = {
        f"{command.full_name.decode()} {' '.join(map(str, (command.arity, *sorted(command.flags), *command.keys)))}"
        for command in COMMANDS
    }
    assert ours == set(REDIS.strip().split("\n"))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.full_name.decode())
def test_what_is_told_of_a_command_agrees_with_itself(command):
    assert command.is_write == ("write" in command.flags) == ("write" in command.categories)
    assert ("readonly" in command.flags) == ("read" in command.categories)
    assert ("fast" in command.flags) == ("fast" in command.categories) != ("slow" in command.categories)
    assert (command.keys[0] > 0) == bool(command.key_flags)
    assert command.summary
    assert command.complexity
    assert command.function.__doc__


def test_a_name_is_registered_once():
    registry = Registry()
    add = registry.add("A", 1, "", group="g", since="1", summary="s")
    add(lambda context, argv: None)
    with pytest.raises(ValueError, match="A is registered twice"):
        add(lambda context, argv: None)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([b"nosuch"], b"ERR unknown command 'nosuch', with args beginning with: "),
        ([b"n\x00x", b"a\x00b"], b"ERR unknown command 'n', with args beginning with: 'a' "),
        ([b"get"], b"ERR wrong number of arguments for 'get' command"),
        ([b"OBJECT"], b"ERR wrong number of arguments for 'object' command"),
        ([b"object", b"bad"], b"ERR unknown subcommand 'bad'. Try OBJECT HELP."),
        ([b"object", b"freq"], b"ERR wrong number of arguments for 'object|freq' command"),
    ],
)
def test_what_names_no_command_gets_redis_error(argv, text):
    assert KEYSPACE.resolve(argv) == Error(text)


def test_a_subcommand_is_found_in_any_case():
    assert KEYSPACE.resolve([b"oBject", b"enCoding", b"k"]).full_name == b"object|encoding"


def test_the_internal_command_is_no_clients():
    assert b"EXPIRED" in INTERNAL
    assert b"EXPIRED" not in KEYSPACE
