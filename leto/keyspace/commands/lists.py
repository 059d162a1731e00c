"""Lists by their ends: LPUSH, LPOP, LMOVE and their kin. What is done by index or element is in list_elements.py."""

from __future__ import annotations

from collections.abc import Generator

from leto.keyspace.database import Database
from leto.keyspace.types.list import PAGE, List, pages
from leto.vocabulary.numbers import positive_integer
from leto.vocabulary.registry import KEYSPACE, wrong_arity
from leto.vocabulary.replies import NULL_ARRAY, SYNTAX_ERROR, Error, Refused, Reply
from leto.vocabulary.steps import LONG, STEP, Steps, all_steps, exhaust

FEW = 8  # elements that are popped one by one

NO_KEYS = Error(b"ERR numkeys should be greater than 0")
NO_COUNT = Error(b"ERR count should be greater than 0")

_PUSHES = "O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments."
_POPS = "O(N) where N is the number of elements returned"


@KEYSPACE.add(
    "LPUSH",
    -3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Prepends one or more elements to a list. Creates the key if it doesn't exist.",
    complexity=_PUSHES,
    syntax="key element [element ...]",
    categories="write list fast",
    key_flags="RW insert",
    level=2,
)
def lpush(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lpush"""
    return _push(db, argv, left=True)


@KEYSPACE.add(
    "RPUSH",
    -3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Appends one or more elements to a list. Creates the key if it doesn't exist.",
    complexity=_PUSHES,
    syntax="key element [element ...]",
    categories="write list fast",
    key_flags="RW insert",
    level=2,
)
def rpush(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/rpush"""
    return _push(db, argv, left=False)


@KEYSPACE.add(
    "LPUSHX",
    -3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="list",
    since="2.2.0",
    summary="Prepends one or more elements to a list only when the list exists.",
    complexity=_PUSHES,
    syntax="key element [element ...]",
    categories="write list fast",
    key_flags="RW insert",
    level=2,
)
def lpushx(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lpushx"""
    with db.edit_existing(argv[1], List, b"") as value:
        if value is None:
            return 0
    return _push(db, argv, left=True)


@KEYSPACE.add(
    "RPUSHX",
    -3,
    "write denyoom fast",
    keys=(1, 1, 1),
    group="list",
    since="2.2.0",
    summary="Appends an element to a list only when the list exists.",
    complexity=_PUSHES,
    syntax="key element [element ...]",
    categories="write list fast",
    key_flags="RW insert",
    level=2,
)
def rpushx(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/rpushx"""
    with db.edit_existing(argv[1], List, b"") as value:
        if value is None:
            return 0
    return _push(db, argv, left=False)


def _push(db: Database, argv: list[bytes], *, left: bool) -> Reply:
    if len(argv) > LONG:
        return Steps(_push_in_steps(db, argv, left))
    with db.edit(argv[1], List, b"lpush" if left else b"rpush") as value:
        for element in argv[2:]:
            value.push(element, left=left)
        return len(value)


def _push_in_steps(db: Database, argv: list[bytes], left: bool) -> Generator[None, None, Reply]:
    for start in range(2, len(argv), STEP):
        is_last = start + STEP >= len(argv)
        with db.edit(argv[1], List, (b"lpush" if left else b"rpush") if is_last else b"") as value:
            for element in argv[start : start + STEP]:
                value.push(element, left=left)
            length = len(value)
        yield
    return length


@KEYSPACE.add(
    "LPOP",
    -2,
    "write fast",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Returns the first elements in a list after removing it. Deletes the list if the last element was popped.",
    complexity=_POPS,
    syntax="key [count]",
    categories="write list fast",
    key_flags="RW access delete",
    level=2,
)
def lpop(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lpop"""
    return wrong_arity(KEYSPACE[b"LPOP"]) if len(argv) > 3 else _pop(db, argv, left=True)


@KEYSPACE.add(
    "RPOP",
    -2,
    "write fast",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Returns and removes the last elements of a list. Deletes the list if the last element was popped.",
    complexity=_POPS,
    syntax="key [count]",
    categories="write list fast",
    key_flags="RW access delete",
    level=2,
)
def rpop(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/rpop"""
    return wrong_arity(KEYSPACE[b"RPOP"]) if len(argv) > 3 else _pop(db, argv, left=False)


def _pop(db: Database, argv: list[bytes], *, left: bool) -> Reply:
    if len(argv) == 2:
        with db.edit_existing(argv[1], List, _popped(left)) as value:
            return None if value is None else value.pop(left=left)
    count = positive_integer(argv[2])
    found = pop_many(db, argv[1], count, left=left)
    return NULL_ARRAY if found is None else found


def _popped(left: bool) -> bytes:
    return b"lpop" if left else b"rpop"


def pop_many(db: Database, key: bytes, count: int, *, left: bool) -> list[bytes] | Steps | None:
    """Take up to so many elements away at that end: these, the outermost first. None if there is no list. Raises
    Refused (WRONGTYPE)."""
    with db.edit_existing(key, List, _popped(left)) as value:
        if value is None:
            return None
        length = len(value)
        count = min(count, length)
        if count <= FEW:
            return [value.pop(left=left) for _ in range(count)]
        if count <= PAGE:
            found = value.range(0, count) if left else value.range(length - count, length)[::-1]
            value.trim(*((count, length) if left else (0, length - count)))
            return found
    return Steps(_pop_in_steps(db, key, count, left))


def _pop_in_steps(db: Database, key: bytes, count: int, left: bool) -> Generator[None, None, Reply]:
    value = db.read(key, List)
    assert value is not None  # nothing comes between the steps of a write
    length = len(value)
    start, stop = (0, count) if left else (length - count, length)
    found = yield from pages(value, start, stop)
    if not left:
        found.reverse()
    with db.edit_existing(key, List, _popped(left)) as value:
        assert value is not None
        value.trim(*((count, length) if left else (0, length - count)))
    return found


@KEYSPACE.add(
    "LLEN",
    2,
    "readonly fast",
    keys=(1, 1, 1),
    group="list",
    since="1.0.0",
    summary="Returns the length of a list.",
    syntax="key",
    categories="read list fast",
    key_flags="RO",
    level=2,
)
def llen(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/llen"""
    value = db.read(argv[1], List)
    return 0 if value is None else len(value)


@KEYSPACE.add(
    "LMOVE",
    5,
    "write denyoom",
    keys=(1, 2, 1),
    group="list",
    since="6.2.0",
    summary="Returns an element after popping it from one list and pushing it to another. Deletes the list if the last"
    " element was moved.",
    syntax="source destination <LEFT | RIGHT> <LEFT | RIGHT>",
    categories="write list slow",
    key_flags="RW access delete; RW insert",
    level=2,
)
def lmove(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lmove"""
    return _move(db, argv[1], argv[2], is_left(argv[3]), is_left(argv[4]))


@KEYSPACE.add(
    "RPOPLPUSH",
    3,
    "write denyoom",
    keys=(1, 2, 1),
    group="list",
    since="1.2.0",
    summary="Returns the last element of a list after removing and pushing it to another list. Deletes the list if the"
    " last element was popped.",
    syntax="source destination",
    categories="write list slow",
    key_flags="RW access delete; RW insert",
    deprecated_since="6.2.0",
    replaced_by="`LMOVE` with the `RIGHT` and `LEFT` arguments",
    level=2,
)
def rpoplpush(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/rpoplpush"""
    return _move(db, argv[1], argv[2], False, True)


def is_left(word: bytes) -> bool:
    """Whether the word is LEFT, and not RIGHT. Raises Refused (syntax error) for another one."""
    side = word.upper()
    if side not in (b"LEFT", b"RIGHT"):
        raise Refused(SYNTAX_ERROR)
    return side == b"LEFT"


def _move(db: Database, source: bytes, destination: bytes, from_left: bool, to_left: bool) -> Reply:
    pushed = b"lpush" if to_left else b"rpush"
    with db.edit_existing(source, List, _popped(from_left)) as origin:
        if origin is None:
            return None
        if source == destination:
            element = origin.pop(left=from_left)
            origin.push(element, left=to_left)
            db.note(pushed, source)
            return element
        with db.edit(destination, List, pushed) as target:
            element = origin.pop(left=from_left)
            target.push(element, left=to_left)
        return element


@KEYSPACE.add(
    "LMPOP",
    -4,
    "write movablekeys",
    numkeys=1,
    group="list",
    since="7.0.0",
    summary="Returns multiple elements from a list after removing them. Deletes the list if the last element was"
    " popped.",
    complexity="O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    syntax="numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
    categories="write list slow",
    key_flags="RW access delete",
    level=2,
)
def lmpop(db: Database, argv: list[bytes]) -> Reply:
    """redis.io/commands/lmpop"""
    side = positive_integer(argv[1], 1, NO_KEYS) + 2
    if side >= len(argv):
        return SYNTAX_ERROR
    left = is_left(argv[side])
    count = 1
    if len(argv) > side + 1:
        if len(argv) < side + 3 or argv[side + 1].upper() != b"COUNT":
            return SYNTAX_ERROR
        count = positive_integer(argv[side + 2], 1, NO_COUNT)
        if len(argv) > side + 3:
            return SYNTAX_ERROR
    steps = _pop_first(db, argv[2:side], count, left)
    return Steps(steps) if side > LONG or count > PAGE else exhaust(steps)


def _pop_first(db: Database, keys: list[bytes], count: int, left: bool) -> Generator[None, None, Reply]:
    """Of the first of these that is a list."""
    for number, key in enumerate(keys, 1):
        found = pop_many(db, key, count, left=left)
        if isinstance(found, Steps):
            found = yield from all_steps(found)
        if found is not None:
            return [key, found]
        if number % STEP == 0:
            yield
    return NULL_ARRAY
