"""COMMAND: what the table tells of itself, and the syntax strings it is parsed from."""

from __future__ import annotations

from typing import Any

import pytest

from leto.clients.table import CONNECTION
from leto.commands.syntax import Argument, parse
from leto.vocabulary.registry import KEYSPACE
from tests.clients.conversation import Client, Node, error

SET_OF_GET = [b"@fast", b"@read", b"@string"]


def mapping(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def test_every_command_is_told_of(client: Client) -> None:
    entries = client.call("COMMAND")
    assert len(entries) == client.call("COMMAND", "COUNT") == len(KEYSPACE) + len(CONNECTION)
    names = {entry[0] for entry in entries}
    assert {b"get", b"set", b"multi", b"client", b"join", b"raft", b"command"} <= names
    subcommands = {sub[0] for entry in entries for sub in entry[9]}
    assert {b"config|get", b"object|encoding"} <= subcommands
    assert sorted(client.call("COMMAND", "LIST")) == sorted(names | subcommands)
    assert all(len(entry) == 10 for entry in entries)


def test_command_info_has_redis_shape(client: Client) -> None:
    nothing, get = client.call("COMMAND", "INFO", "foo", "GeT")
    assert nothing is None
    assert get[:6] == [b"get", 2, [b"fast", b"readonly"], 1, 1, 1]
    assert get[6] == SET_OF_GET
    specification = mapping(get[8][0])
    assert specification[b"flags"] == [b"RO", b"access"]
    assert mapping(mapping(specification[b"begin_search"])[b"spec"]) == {b"index": 1}
    assert mapping(mapping(specification[b"find_keys"])[b"spec"]) == {b"lastkey": 0, b"keystep": 1, b"limit": 0}


def test_command_info_of_subcommands(client: Client) -> None:
    container, kill = client.call("COMMAND", "INFO", "client", "client|kill")
    assert kill[0] == b"client|kill"
    assert b"client|kill" in [sub[0] for sub in container[9]]


def test_docs_parse_the_syntax(client: Client) -> None:
    docs = mapping(client.call("COMMAND", "DOCS", "set", "foo"))
    assert list(docs) == [b"set"]
    entry = mapping(docs[b"set"])
    assert entry[b"summary"] == b"Set the string value of a key"
    arguments = [mapping(argument) for argument in entry[b"arguments"]]
    assert (arguments[0][b"name"], arguments[0][b"type"], arguments[0][b"key_spec_index"]) == (b"key", b"key", 0)
    condition = arguments[2]
    assert (condition[b"type"], condition[b"flags"]) == (b"oneof", [b"optional"])
    assert [mapping(choice)[b"token"] for choice in condition[b"arguments"]] == [b"NX", b"XX"]
    seconds = mapping(arguments[4][b"arguments"][0])
    assert seconds == {b"name": b"seconds", b"type": b"integer", b"token": b"EX"}


def test_docs_of_all_commands_and_their_subcommands(client: Client) -> None:
    docs = mapping(client.call("COMMAND", "DOCS"))
    assert len(docs) == client.call("COMMAND", "COUNT")
    assert b"config|get" in mapping(mapping(docs[b"config"])[b"subcommands"])


def test_every_syntax_of_both_tables_parses() -> None:
    def walk(registry: Any) -> int:
        count = 0
        for command in registry.values():
            parse(command.syntax)
            count += 1 + walk(command.subcommands)
        return count

    assert walk(KEYSPACE) > 50
    assert walk(CONNECTION) > 70


@pytest.mark.parametrize(
    ("syntax", "arguments"),
    [
        ("", ()),
        ("key", (Argument("key", "key"),)),
        ("[message]", (Argument("message", "string", optional=True),)),
        ("key [key ...]", (Argument("key", "key", multiple=True),)),
        (
            "key value [key value ...]",
            (
                Argument(
                    "key_value", "block", multiple=True, arguments=(Argument("key", "key"), Argument("value", "string"))
                ),
            ),
        ),
        ("[MATCH pattern]", (Argument("pattern", "pattern", "MATCH", optional=True),)),
        (
            "[NX | XX]",
            (
                Argument(
                    "nx_xx",
                    "oneof",
                    optional=True,
                    arguments=(Argument("nx", "pure-token", "NX"), Argument("xx", "pure-token", "XX")),
                ),
            ),
        ),
        (
            "<ON | OFF>",
            (
                Argument(
                    "on_off",
                    "oneof",
                    arguments=(Argument("on", "pure-token", "ON"), Argument("off", "pure-token", "OFF")),
                ),
            ),
        ),
        (
            "PREFIX prefix [PREFIX prefix ...]",
            (Argument("prefix", "string", "PREFIX", multiple=True, multiple_token=True),),
        ),
        (
            "[ID id [id ...]]",
            (Argument("id", "block", "ID", optional=True, arguments=(Argument("id", "string", multiple=True),)),),
        ),
        (
            "[TYPE <A | B>]",
            (
                Argument(
                    "a_b",
                    "oneof",
                    "TYPE",
                    optional=True,
                    arguments=(Argument("a", "pure-token", "A"), Argument("b", "pure-token", "B")),
                ),
            ),
        ),
        (
            "[AUTH username password]",
            (
                Argument(
                    "username_password",
                    "block",
                    "AUTH",
                    optional=True,
                    arguments=(Argument("username", "string"), Argument("password", "string")),
                ),
            ),
        ),
    ],
)
def test_syntax(syntax: str, arguments: tuple[Argument, ...]) -> None:
    assert parse(syntax) == arguments


@pytest.mark.parametrize("syntax", ["[a", "a]", "<a]", "[a>", "a | b"])
def test_brackets_that_do_not_match(syntax: str) -> None:
    with pytest.raises(ValueError, match="do not match"):
        parse(syntax)


def test_list_filters(client: Client) -> None:
    assert sorted(client.call("COMMAND", "LIST", "FILTERBY", "PATTERN", "hel*")) == [b"hello"]
    assert b"client|kill" in client.call("COMMAND", "LIST", "FILTERBY", "PATTERN", "CLIENT|*")
    strings = client.call("COMMAND", "LIST", "FILTERBY", "ACLCAT", "string")
    assert {b"get", b"set", b"append"} <= set(strings)
    assert b"del" not in strings
    assert client.call("COMMAND", "LIST", "FILTERBY", "MODULE", "x") == []
    assert error(client.call("COMMAND", "LIST", "FILTERBY", "foo", "x")) == "ERR syntax error"
    assert error(client.call("COMMAND", "LIST", "FILTERBY")) == "ERR syntax error"


@pytest.mark.parametrize(
    ("request_", "keys"),
    [
        ("GET a", [b"a"]),
        ("MSET a 1 b 2", [b"a", b"b"]),
        ("DEL a b c", [b"a", b"b", b"c"]),
        ("RENAME a b", [b"a", b"b"]),
        ("OBJECT ENCODING a", [b"a"]),
        ("WATCH a b", [b"a", b"b"]),
        ("LMPOP 2 a b LEFT COUNT 3", [b"a", b"b"]),
    ],
)
def test_getkeys(client: Client, request_: str, keys: list[bytes]) -> None:
    assert client.call("COMMAND", "GETKEYS", *request_.split()) == keys


def test_a_number_of_keys_is_a_specification_of_its_own(client: Client) -> None:
    [described] = client.call("COMMAND", "INFO", "LMPOP")
    assert described[3:6] == [0, 0, 0]
    assert described[8] == [
        [
            b"flags",
            [b"RW", b"access", b"delete"],
            b"begin_search",
            [b"type", b"index", b"spec", [b"index", 1]],
            b"find_keys",
            [b"type", b"keynum", b"spec", [b"keynumidx", 0, b"firstkey", 1, b"keystep", 1]],
        ]
    ]


def test_getkeysandflags(client: Client) -> None:
    assert client.call("COMMAND", "GETKEYSANDFLAGS", "MSET", "a", 1, "b", 2) == [
        [b"a", [b"OW", b"update"]],
        [b"b", [b"OW", b"update"]],
    ]
    first, second = client.call("COMMAND", "GETKEYSANDFLAGS", "RENAME", "a", "b")
    assert first[0] == b"a"
    assert second[0] == b"b"
    assert first[1] != second[1]
    assert client.call("COMMAND", "GETKEYSANDFLAGS", "SET", "a", "get", "NX") == [[b"a", [b"OW", b"update"]]]
    assert client.call("COMMAND", "GETKEYSANDFLAGS", "SET", "a", "b", "get") == [[b"a", [b"RW", b"access", b"update"]]]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ("GETKEYS get", "ERR wrong number of arguments for 'command|getkeys' command"),
        ("GETKEYS foo bar", "ERR Invalid command specified"),
        ("GETKEYS get a b", "ERR Invalid number of arguments specified for command"),
        ("GETKEYS ping a", "ERR The command has no key arguments"),
        ("GETKEYS lmpop 0 a left", "ERR Invalid arguments specified for command"),
        ("GETKEYS lmpop 3 a left", "ERR Invalid arguments specified for command"),
        ("GETKEYSANDFLAGS lmpop x a left", "ERR Invalid arguments specified for command"),
        ("foo", "ERR unknown subcommand 'foo'. Try COMMAND HELP."),
    ],
)
def test_getkeys_refusals(client: Client, request_: str, words: str) -> None:
    assert error(client.call("COMMAND", *request_.split())) == words


@pytest.mark.parametrize("name", ["CLIENT", "COMMAND", "CONFIG", "LATENCY", "SLOWLOG", "MEMORY", "RAFT", "CLUSTER"])
def test_help_names_every_subcommand(client: Client, name: str) -> None:
    lines = [line.decode() for line in client.call(name, "HELP")]
    assert lines[0] == f"{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert lines[-2:] == ["HELP", "    Prints this help."]
    told = {line.split(" ")[0] for line in lines[1:]}
    assert {sub.decode() for sub in CONNECTION[name.encode()].subcommands} <= told


def test_resp3_uses_sets_and_maps(node: Node) -> None:
    client = node.client()
    client.say(b"HELLO 3\r\n")
    heard = client.say(b"COMMAND INFO get\r\nCOMMAND DOCS get\r\n")
    assert b"~2\r\n+fast\r\n+readonly\r\n" in heard
    assert b"%1\r\n$3\r\nget\r\n%" in heard


# FUNCTION --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ("FLUSH x", "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        ("FLUSH a b", "ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP."),
        ("LIST x", "ERR Unknown argument x"),
        ("LIST LIBRARYNAME", "ERR library name argument was not given"),
        ("LIST WITHCODE WITHCODE", "ERR Unknown argument WITHCODE"),
        ("LOAD x", "ERR unknown subcommand 'LOAD'. Try FUNCTION HELP."),
    ],
)
def test_function_refusals(client: Client, words: str, reply: str) -> None:
    assert error(client.call("FUNCTION", *words.split())) == reply


def test_there_are_no_functions_to_list_or_to_flush(client: Client) -> None:
    assert client.call("FUNCTION", "FLUSH") == client.call("FUNCTION", "FLUSH", "async") == b"OK"
    assert client.call("FUNCTION", "LIST") == client.call("FUNCTION", "LIST", "LIBRARYNAME", "a", "WITHCODE") == []
