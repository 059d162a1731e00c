"""Every command against what Redis answers (cases.py), run through the log and, where it reads, as a query too."""

from __future__ import annotations

import pytest

from leto.keyspace.commands import strings
from leto.vocabulary.numbers import double_text
from leto.vocabulary.registry import KEYSPACE, Command
from leto.vocabulary.replies import Error, Pairs, Set, Status
from tests.keyspace.batches import Bench
from tests.keyspace.case_files import FAMILIES, all_scripts, facts
from tests.keyspace.tally import COMMANDS

WHERE = "tests/keyspace/cases"
SCRIPTS = [pytest.param(steps, id=title) for title, steps in all_scripts()]
FILES: dict[str, list[Command]] = {}
for _command in KEYSPACE.values():
    FILES.setdefault(_command.function.__module__.rpartition(".")[2], []).append(_command)


def plain(reply):
    """As RESP2 shows it: maps, sets and pairs are arrays, doubles are strings."""
    if isinstance(reply, dict):
        reply = [item for pair in reply.items() for item in pair]
    elif isinstance(reply, Pairs | Set):
        reply = reply.items
    if isinstance(reply, list):
        return [plain(item) for item in reply]
    return double_text(reply) if isinstance(reply, float) else reply


@pytest.mark.parametrize("steps", SCRIPTS)
def test_commands_answer_as_redis(steps):
    bench = Bench()
    for words, expected in steps:
        if isinstance(words, int):
            bench.wait(words)
            continue
        command = KEYSPACE.resolve(words)
        if words[0].upper() == b"DBSIZE":  # counts what Redis's active expiry would have deleted
            purge(bench)
        if isinstance(command, Error) or not command.is_write:
            assert plain(bench.machine.query(words, bench.now)) == expected, words
        if KEYSPACE.find(words) is not None:  # no client can have an unknown one appended
            assert plain(bench.batch(tuple(words))[0]) == expected, words


def purge(bench):
    """Active expiry, as the leader does it."""
    machine = bench.machine
    while (packed := machine.expired(bench.now, 10)) is not None:
        bench.packed(packed)


@pytest.mark.parametrize("file", FILES)
def test_every_command_has_its_cases(file):
    assert file in FAMILIES, f"write {WHERE}/{file}.txt: what Redis answers to the commands of {file}.py"
    missing = sorted(command.name.decode() for command in FILES[file] if command.name not in FAMILIES[file].called)
    assert not missing, f"{WHERE}/{file}.txt has no session that calls {' '.join(missing)}"


@pytest.mark.parametrize("file", FILES)
def test_arity_flags_and_keys_are_redis_own(file):
    ours = {facts(one) for command in FILES[file] for one in (command, *command.subcommands.values())}
    assert ours == FAMILIES[file].facts, f"the lines with = in {WHERE}/{file}.txt are what COMMAND INFO lists"


def test_every_file_of_cases_is_one_of_commands():
    assert set(FAMILIES) == set(FILES)


def test_object_tells_that_frequencies_are_not_tracked():
    bench = Bench()
    bench.write("SET a 1")
    assert bench.read("OBJECT FREQ a").text.startswith(b"ERR An LFU maxmemory policy is not selected")
    assert bench.read("OBJECT HELP")[-1] == Status(b"    Prints this help.")


def test_errors_stay_one_line():
    bench = Bench()
    assert bench.write([b"EXPIRE", b"a", b"1", b"x\r\ny"]) == Error(b"ERR Unsupported option x  y")
    assert bench.read([b"NO\r\nSUCH", b"a\nb"]).text == (
        b"ERR unknown command 'NO  SUCH', with args beginning with: 'a b' "
    )


def test_an_unknown_command_shows_128_bytes_of_its_arguments():
    reply = Bench().read([b"x" * 200, b"a" * 100, b"b" * 100, b"c"])
    assert reply.text == (
        b"ERR unknown command '"
        + b"x" * 128
        + b"', with args beginning with: '"
        + b"a" * 100
        + b"' '"
        + b"b" * 25
        + b"' "
    )


def test_a_string_grows_to_its_limit_and_no_further(monkeypatch):
    assert strings.MAX_STRING == 512 << 20
    monkeypatch.setattr(strings, "MAX_STRING", 1000)
    bench = Bench()
    assert bench.write("SETRANGE a 999 x") == 1000
    too_long = Error(b"ERR string exceeds maximum allowed size (proto-max-bulk-len)")
    assert bench.batch("APPEND a y", "SETRANGE a 1000 x", "SETRANGE a 999 xy", "SETRANGE a 999 z") == [
        too_long,
        too_long,
        too_long,
        1000,
    ]
    assert bench.read("GETRANGE a 998 -1") == b"\0z"


@pytest.mark.parametrize("name", sorted(name for name, command in KEYSPACE.items() if command.group == "string"))
def test_string_commands_refuse_other_types(name):
    bench = Bench(commands=COMMANDS)
    bench.write("TALLY t x")
    arguments = {
        b"SET": [b"t", b"v", b"GET"],
        b"GETRANGE": [b"t", b"0", b"1"],
        b"SUBSTR": [b"t", b"0", b"1"],
        b"SETRANGE": [b"t", b"0", b"x"],
        b"INCRBY": [b"t", b"1"],
        b"DECRBY": [b"t", b"1"],
        b"INCRBYFLOAT": [b"t", b"1"],
        b"APPEND": [b"t", b"1"],
        b"GETSET": [b"t", b"1"],
        b"LCS": [b"t", b"t"],
        b"SETNX": [b"t", b"v"],
        b"MSETNX": [b"t", b"v"],
    }
    if name in (b"SETEX", b"PSETEX", b"MSET"):  # they replace whatever there is
        value = [b"t", b"10", b"v"] if name != b"MSET" else [b"t", b"v"]
        assert bench.write([name, *value]) == Status(b"OK")
        assert bench.read("TYPE t") == Status(b"string")
        return
    expected = {
        b"MGET": [None],
        b"SETNX": 0,
        b"MSETNX": 0,
        b"LCS": Error(b"ERR The specified keys must contain string values"),
    }.get(name, Error(b"WRONGTYPE Operation against a key holding the wrong kind of value"))
    assert bench.write([name, *arguments.get(name, [b"t"])]) == expected
    assert bench.read("TYPE t") == Status(b"tally")
