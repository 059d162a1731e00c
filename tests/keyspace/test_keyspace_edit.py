"""Database.edit(): what goes with a change of a value is done at the block's end, and where nothing changed nothing."""

from __future__ import annotations

import pytest

from leto.keyspace.types.value import checksum
from leto.vocabulary.replies import WRONG_TYPE, Error, Refused
from tests.keyspace.batches import NOW, Bench
from tests.keyspace.tally import COMMANDS, Tally
from tests.keyspace.tiny import tiny_parts


@pytest.fixture(params=["small", "large"])
def bench(request):
    """With a tally under k, of three names that are in one piece or in parts; its entry is 1."""
    bench = Bench(commands=COMMANDS)
    if request.param == "small":
        bench.write("TALLYSET k a 1 b 2 c 3")
        yield bench
    else:
        with tiny_parts():
            bench.write("TALLYSET k a 1 b 2 c 3")
            yield bench
    assert bench.machine.database.data[b"k"].value.is_large == (request.param == "large")


def holds(database, key=b"k"):
    """The key's checksum is the one that the database counts, its only other key's apart."""
    record = database.data[key]
    others = sum(checksum(other, each.value, each.expire_at) for other, each in database.data.items() if other != key)
    return database.check_sum - others == checksum(key, record.value, record.expire_at)


def next_entry(bench):
    """The database, as if the next entry were being applied."""
    database = bench.machine.database
    database.index += 1
    return database


def test_a_change_keeps_the_expiry_and_counts(bench):
    bench.write("EXPIRE k 100")
    assert bench.write("TALLY k a") == 2
    database = bench.machine.database
    record = database.data[b"k"]
    assert (record.version, record.expire_at, database.volatile) == (3, NOW + 100_000, 1)
    assert bench.read("TALLYALL k") == {b"a": b"2", b"b": b"2", b"c": b"3"}
    assert holds(database)


def test_where_nothing_changed_nothing_is_touched(bench):
    digest = bench.machine.digest()[1]
    assert bench.batch("TALLYSET k a 1 b 2", "TALLYDEL k x", "TALLYDEL none x") == [0, 0, 0]
    assert (bench.machine.database.data[b"k"].version, bench.machine.digest()[1]) == (1, digest)
    assert bench.batch(["1 k", "TALLYGET k a"]) == [[b"1"]]  # a WATCH does not abort
    writer = bench.machine.snapshot()
    bench.write("TALLYSET k a 1")
    writer.save = None  # whoever called it would fail
    assert bench.write("TALLYSET k b 2") == 0
    writer.close()


def test_a_changed_key_aborts_a_watch(bench):
    bench.write("TALLYSET k a 5")
    assert bench.batch(["1 k", "TALLYGET k a"], ["2 k", "TALLYGET k a"])[1] == [b"5"]
    assert bench.read("TALLYGET k a") == b"5"


def test_the_key_goes_with_its_last_element(bench):
    bench.batch("SET s 1", "COPY k j")
    bench.batch("EXPIRE j 100", "TALLYDEL j a", "TALLYDEL j b c")
    database = bench.machine.database
    assert (bench.read("EXISTS j"), database.volatile, database.tombstones) == (0, 0, {b"j": 3})
    assert sorted(database.data.page(0, 9)[1]) == [b"k", b"s"]
    assert holds(database)


def test_an_edit_that_makes_nothing_leaves_no_key(bench):
    database = next_entry(bench)
    with database.edit(b"new", Tally, b"changed") as value:
        assert len(value) == 0
    with database.edit(b"new", Tally, b"changed") as value:
        value.put(b"a", b"1")
        assert value.pop(b"a") == b"1"
    assert (b"new" in database.data, database.tombstones) == (False, {})


def test_an_expired_key_is_met_as_missing(bench):
    bench.batch("COPY k j", "PEXPIRE j 5")
    bench.wait(6)
    assert bench.read("TALLYALL j") == {}
    assert bench.batch("TALLYDEL j a", "TALLY j z", "PTTL j") == [0, 1, -1]
    assert bench.read("TALLYALL j") == {b"z": b"1"}
    assert holds(bench.machine.database)


def test_another_type_is_refused_before_the_body(bench):
    assert bench.batch("SET s 1", "TALLY s a", "TALLYDEL s a", "TALLYGET s a")[1:] == [WRONG_TYPE] * 3
    database = next_entry(bench)
    for edit in (database.edit, database.edit_existing):
        with pytest.raises(Refused), edit(b"s", Tally, b"changed"):
            raise AssertionError("it was entered")


def test_what_a_body_changed_before_it_raised_counts(bench):
    database = next_entry(bench)
    with pytest.raises(ZeroDivisionError), database.edit(b"k", Tally, b"changed") as value:
        value.put(b"d", b"%d" % (1 // 1))
        value.put(b"e", b"%d" % (1 // 0))
    assert bench.read("TALLYGET k d") == b"1"
    assert (database.data[b"k"].version, holds(database)) == (2, True)


def test_a_body_that_raises_first_changed_nothing(bench):
    database = next_entry(bench)
    check_sum = database.check_sum
    with pytest.raises(Refused), database.edit(b"k", Tally, b"changed") as value:
        assert value.get(b"a") == b"1"
        raise Refused(WRONG_TYPE)
    assert (database.data[b"k"].version, database.check_sum) == (1, check_sum)
    assert bench.write("TALLY k a") == 2


def test_a_value_changes_within_an_edit_alone(bench):
    value = bench.machine.database.read(b"k", Tally)
    for change in (lambda: value.put(b"z", b"1"), lambda: value.pop(b"a"), lambda: Tally().put(b"z", b"1")):
        with pytest.raises(RuntimeError, match=r"within Database\.edit"):
            change()
    assert bench.read("TALLYALL k") == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_a_value_is_edited_once_at_a_time(bench):
    database = next_entry(bench)
    with database.edit(b"k", Tally, b"changed") as value, database.edit(b"other", Tally, b"changed") as other:
        other.put(b"z", value.pop(b"a"))
        with pytest.raises(RuntimeError, match="edited once more"), database.edit(b"k", Tally, b"changed"):
            raise AssertionError("it was entered")
    assert bench.read("TALLYALL other") == {b"z": b"1"}
    assert holds(database)
    assert holds(database, b"other")


@pytest.mark.parametrize("what", ["store", "delete"])
def test_the_body_does_not_store_or_delete_the_key(bench, what):
    database = next_entry(bench)
    twin = Bench(commands=COMMANDS)  # the value goes: another bench's is what the fixture looks at
    twin.write("TALLY k a")
    other = twin.machine.database
    other.index += 1
    with pytest.raises(RuntimeError, match="while its value was edited"), other.edit(b"k", Tally, b"changed") as value:
        value.put(b"z", b"1")
        other.store(b"k", b"x") if what == "store" else other.delete(b"k")
    assert database.index == 2


def test_a_copy_is_independent(bench):
    bench.batch("COPY k j", "TALLYSET k a 9", "TALLYSET j b 8", "TALLYDEL k c")
    assert bench.read("TALLYALL k") == {b"a": b"9", b"b": b"2"}
    assert bench.read("TALLYALL j") == {b"a": b"1", b"b": b"8", b"c": b"3"}
    assert holds(bench.machine.database)
    bench.write("TALLYSET k c 7 a 1")
    assert bench.read("TALLYALL j") == {b"a": b"1", b"b": b"8", b"c": b"3"}


def test_a_renamed_value_is_the_same_object(bench):
    before = bench.machine.database.data[b"k"].value
    bench.batch("RENAME k m", "TALLY m a", "RENAME m k")
    assert bench.machine.database.data[b"k"].value is before
    assert not bench.machine.has_waste
    assert holds(bench.machine.database)


def test_a_faulty_command_leaves_the_accounts_right(bench):
    """What it raises is no Refused: answered by an error, alike on every node."""
    assert isinstance(bench.batch("TALLYSET k n x", "TALLY k a n")[1], Error)
    assert bench.read("TALLYGET k a") == b"2"
    assert holds(bench.machine.database)
