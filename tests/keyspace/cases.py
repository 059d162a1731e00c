"""What Redis 7.0.15 answers, as scripts: `command -> reply` lines, run in order against an empty database.

In a command, words are split at spaces and may be Python bytes escapes (\\x00); `""` is an empty word.
Replies: +status, -error, an integer, nil, "bulk", [reply, ...]. `wait n` lets n milliseconds pass.
"""

from __future__ import annotations

import ast

from leto.keyspace.replies import Error, Status

STRINGS = r"""
# SET and GET
GET a -> nil
SET a b -> +OK
GET a -> "b"
SET a "" -> +OK
GET a -> ""
SET "" v -> +OK
GET "" -> "v"
SET a \x00\xff\r\n -> +OK
GET a -> "\x00\xff\r\n"
GET -> -ERR wrong number of arguments for 'get' command
get a b -> -ERR wrong number of arguments for 'get' command
SET a -> -ERR wrong number of arguments for 'set' command
SET a b bogus -> -ERR syntax error
# SET's options
SET a 1 XX -> nil
SET a 1 NX -> +OK
SET a 2 NX -> nil
SET a 2 xx -> +OK
SET a 3 NX XX -> -ERR syntax error
SET a 3 GET -> "2"
SET b 3 GET -> nil
SET a 4 NX GET -> "3"
SET c 4 NX GET -> nil
SET d 4 XX GET -> nil
GET d -> nil
SET a 5 XX GET -> "3"
SET a 5 EX -> -ERR syntax error
SET a 5 EX 10 PX 10 -> -ERR syntax error
SET a 5 EX 10 KEEPTTL -> -ERR syntax error
SET a 5 KEEPTTL EX 10 -> -ERR syntax error
SET a 5 PERSIST -> -ERR syntax error
SET a 5 EX 10 EX 20 -> +OK
TTL a -> 20
SET a 6 KEEPTTL -> +OK
TTL a -> 20
SET a 6 -> +OK
TTL a -> -1
SET a 6 EX 0 -> -ERR invalid expire time in 'set' command
SET a 6 EX -1 -> -ERR invalid expire time in 'set' command
SET a 6 EX abc -> -ERR value is not an integer or out of range
SET a 6 EX +1 -> -ERR value is not an integer or out of range
SET a 6 EX 9223372036854775807 -> -ERR invalid expire time in 'set' command
SET a 6 EX 9223372036854775 -> -ERR invalid expire time in 'set' command
SET a 6 PX 9223372036854775807 -> -ERR invalid expire time in 'set' command
SET a 6 PXAT 9223372036854775807 -> +OK
PEXPIRETIME a -> 9223372036854775807
SET a 6 EXAT 9223372036854775 -> +OK
SET a 6 EXAT 9223372036854776 -> -ERR invalid expire time in 'set' command
SET a 6 EXAT 1 -> +OK
GET a -> nil
# SETNX SETEX PSETEX GETSET GETDEL
SETNX a 1 -> 1
SETNX a 2 -> 0
SETEX a 10 x -> +OK
TTL a -> 10
SETEX a 0 x -> -ERR invalid expire time in 'setex' command
PSETEX a 1500 y -> +OK
PTTL a -> 1500
TTL a -> 2
PSETEX a -5 y -> -ERR invalid expire time in 'psetex' command
GETSET a z -> "y"
TTL a -> -1
GETSET b z -> nil
GETDEL a -> "z"
GETDEL a -> nil
# GETEX
GETEX a -> nil
GETEX a EX -> -ERR syntax error
GETEX a EX x -> nil
SET a 1 -> +OK
GETEX a EX 100 -> "1"
TTL a -> 100
GETEX a -> "1"
TTL a -> 100
GETEX a PERSIST -> "1"
TTL a -> -1
GETEX a PERSIST EX 1 -> -ERR syntax error
GETEX a NX -> -ERR syntax error
GETEX a EX 0 -> -ERR invalid expire time in 'getex' command
GETEX a EX x -> -ERR value is not an integer or out of range
GETEX a PXAT 1 -> "1"
EXISTS a -> 0
# MGET MSET MSETNX
MSET a 1 b 2 a 3 -> +OK
MGET a b c a -> ["3", "2", nil, "3"]
MSET a 1 b -> -ERR wrong number of arguments for 'mset' command
MSETNX c 1 a 2 -> 0
GET c -> nil
MSETNX c 1 d 2 -> 1
MSETNX c -> -ERR wrong number of arguments for 'msetnx' command
MSETNX c 1 d -> -ERR wrong number of arguments for 'msetnx' command
# APPEND STRLEN
APPEND a hello -> 5
APPEND a "" -> 5
APPEND a \x20w -> 7
GET a -> "hello\x20w"
STRLEN a -> 7
STRLEN none -> 0
SET a x EX 50 -> +OK
APPEND a y -> 2
TTL a -> 50
# GETRANGE SUBSTR
SET a 0123456789 -> +OK
GETRANGE a 0 3 -> "0123"
GETRANGE a -3 -1 -> "789"
GETRANGE a -1 -3 -> ""
GETRANGE a 0 -1 -> "0123456789"
GETRANGE a 0 -100 -> "0"
GETRANGE a -100 1 -> "01"
GETRANGE a 5 100 -> "56789"
GETRANGE a 10 11 -> ""
GETRANGE a 5 4 -> ""
SUBSTR a 1 1 -> "1"
GETRANGE none 0 -1 -> ""
GETRANGE a 01 2 -> -ERR value is not an integer or out of range
# SETRANGE
SETRANGE a 3 xyz -> 6
GET a -> "\x00\x00\x00xyz"
SETRANGE a 0 ab -> 6
GET a -> "ab\x00xyz"
SETRANGE a 5 zz -> 7
GET a -> "ab\x00xyzz"
SETRANGE a 100 "" -> 7
SETRANGE none 100 "" -> 0
EXISTS none -> 0
SETRANGE a -1 x -> -ERR offset is out of range
SETRANGE a x x -> -ERR value is not an integer or out of range
SETRANGE a 536870911 xx -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
SETRANGE a 9223372036854775807 x -> -ERR string exceeds maximum allowed size (proto-max-bulk-len)
# INCR and kin
INCR a -> 1
INCRBY a 10 -> 11
DECR a -> 10
DECRBY a 15 -> -5
GET a -> "-5"
SET a 9223372036854775807 EX 50 -> +OK
INCR a -> -ERR increment or decrement would overflow
DECR a -> 9223372036854775806
TTL a -> 50
SET a -9223372036854775808 -> +OK
DECR a -> -ERR increment or decrement would overflow
DECRBY a -9223372036854775808 -> -ERR decrement would overflow
INCRBY a 9223372036854775808 -> -ERR value is not an integer or out of range
SET a 01 -> +OK
INCR a -> -ERR value is not an integer or out of range
SET a "" -> +OK
INCR a -> -ERR value is not an integer or out of range
SET a -0 -> +OK
INCR a -> -ERR value is not an integer or out of range
SET a 1_0 -> +OK
INCR a -> -ERR value is not an integer or out of range
SET a \xd9\xa1 -> +OK
INCR a -> -ERR value is not an integer or out of range
SET a 1.5 -> +OK
INCRBY a 1 -> -ERR value is not an integer or out of range
# INCRBYFLOAT
INCRBYFLOAT a 0.1 -> "0.1"
INCRBYFLOAT a 0.2 -> "0.3"
INCRBYFLOAT a -0.3 -> "0"
INCRBYFLOAT a x -> -ERR value is not a valid float
INCRBYFLOAT a nan -> -ERR value is not a valid float
INCRBYFLOAT a inf -> -ERR increment would produce NaN or Infinity
SET b 3 -> +OK
INCRBYFLOAT b 1.5e3 -> "1503"
INCRBYFLOAT b 0x10 -> "1519"
SET b abc -> +OK
INCRBYFLOAT b 1 -> -ERR value is not a valid float
SET b 10.50 EX 30 -> +OK
INCRBYFLOAT b 0.1 -> "10.6"
TTL b -> 30
# LCS
MSET k1 ohmytext k2 mynewtext -> +OK
LCS k1 k2 -> "mytext"
LCS k1 k2 LEN -> 6
LCS k1 k2 IDX -> ["matches", [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], "len", 6]
LCS k1 k2 IDX MINMATCHLEN 4 -> ["matches", [[[4, 7], [5, 8]]], "len", 6]
LCS k1 k2 IDX MINMATCHLEN 4 WITHMATCHLEN -> ["matches", [[[4, 7], [5, 8], 4]], "len", 6]
LCS k1 none -> ""
LCS k1 none IDX -> ["matches", [], "len", 0]
LCS none none LEN -> 0
LCS k1 k2 IDX LEN -> -ERR If you want both the length and indexes, please just use IDX.
LCS k1 k2 MINMATCHLEN -> -ERR syntax error
LCS k1 k2 bogus -> -ERR syntax error
"""

KEYS = r"""
# DEL UNLINK EXISTS TOUCH TYPE
MSET a 1 b 2 c 3 -> +OK
EXISTS a a none -> 2
TOUCH a b none -> 2
TYPE a -> +string
TYPE none -> +none
DEL a a none -> 1
UNLINK b c none -> 2
DBSIZE -> 0
# RENAME RENAMENX
RENAME none a -> -ERR no such key
SET a 1 EX 100 -> +OK
RENAME a a -> +OK
RENAMENX a a -> 0
SET b 2 -> +OK
RENAME a b -> +OK
TTL b -> 100
EXISTS a -> 0
SET a 3 -> +OK
RENAMENX a b -> 0
RENAMENX a c -> 1
RENAMENX none c -> -ERR no such key
MGET a b c -> [nil, "1", "3"]
# COPY
SET a 1 EX 100 -> +OK
COPY a b -> 1
TTL b -> 100
COPY a b -> 0
SET a 2 -> +OK
COPY a b REPLACE -> 1
MGET a b -> ["2", "2"]
TTL b -> -1
COPY none b -> 0
COPY a a -> -ERR source and destination objects are the same
COPY a c DB 0 -> 1
COPY a c DB 99 -> -ERR DB index is out of range
COPY a c DB x -> -ERR value is not an integer or out of range
COPY a c DB 99999999999 -> -ERR value is out of range, value must between -2147483648 and 2147483647
COPY a c bogus -> -ERR syntax error
COPY a c DB -> -ERR syntax error
# FLUSHALL FLUSHDB
MSET a 1 b 2 -> +OK
FLUSHALL bogus -> -ERR syntax error
FLUSHALL ASYNC SYNC -> -ERR syntax error
DBSIZE -> 2
FLUSHALL async -> +OK
DBSIZE -> 0
SET a 1 -> +OK
FLUSHDB -> +OK
RANDOMKEY -> nil
SET a 1 -> +OK
RANDOMKEY -> "a"
# KEYS SCAN
SET key:1 v -> +OK
KEYS key:* -> ["key:1"]
KEYS k[a-f]y:? -> ["key:1"]
KEYS nothing -> []
SCAN 0 -> ["0", ["key:1"]]
SCAN 0 MATCH a* -> ["0", []]
SCAN 0 TYPE STRING -> ["0", ["key:1"]]
SCAN 0 TYPE list COUNT 5 -> ["0", []]
SCAN x -> -ERR invalid cursor
SCAN \x200 -> -ERR invalid cursor
SCAN 18446744073709551616 -> -ERR invalid cursor
SCAN 18446744073709551615 -> ["0", []]
SCAN 0 COUNT 0 -> -ERR syntax error
SCAN 0 COUNT x -> -ERR value is not an integer or out of range
SCAN 0 COUNT -> -ERR syntax error
SCAN 0 bogus 1 -> -ERR syntax error
# OBJECT
SET a 12345678901 -> +OK
OBJECT ENCODING a -> "int"
SET a hello -> +OK
OBJECT encoding a -> "embstr"
SET a 0123456789012345678901234567890123456789012345 -> +OK
object Encoding a -> "raw"
OBJECT ENCODING none -> nil
OBJECT REFCOUNT a -> 1
OBJECT REFCOUNT none -> nil
OBJECT IDLETIME none -> nil
OBJECT FREQ none -> nil
OBJECT -> -ERR wrong number of arguments for 'object' command
OBJECT ENCODING -> -ERR wrong number of arguments for 'object|encoding' command
OBJECT BOGUS a -> -ERR unknown subcommand 'BOGUS'. Try OBJECT HELP.
"""

EXPIRY = r"""
# EXPIRE and kin
EXPIRE none 10 -> 0
TTL none -> -2
PTTL none -> -2
EXPIRETIME none -> -2
PEXPIRETIME none -> -2
SET a 1 -> +OK
TTL a -> -1
EXPIRETIME a -> -1
EXPIRE a 10 -> 1
TTL a -> 10
PERSIST a -> 1
PERSIST a -> 0
PERSIST none -> 0
PEXPIRE a 1499 -> 1
TTL a -> 1
PEXPIRE a 1500 -> 1
TTL a -> 2
EXPIRE a 9223372036854775807 -> -ERR invalid expire time in 'expire' command
EXPIRE a 9223372036854775 -> -ERR invalid expire time in 'expire' command
EXPIRE a -9223372036854776 -> -ERR invalid expire time in 'expire' command
PEXPIRE a 9223372036854775807 -> -ERR invalid expire time in 'pexpire' command
EXPIREAT a 9223372036854776 -> -ERR invalid expire time in 'expireat' command
EXPIREAT a 9223372036854775 -> 1
PEXPIREAT a 9223372036854775807 -> 1
PEXPIREAT a 9223372036854775808 -> -ERR value is not an integer or out of range
EXPIRETIME a -> 9223372036854776
PEXPIRETIME a -> 9223372036854775807
EXPIRE a x -> -ERR value is not an integer or out of range
EXPIRE a 10 bogus -> -ERR Unsupported option bogus
EXPIRE a x bogus -> -ERR Unsupported option bogus
EXPIRE a 10 NX GT -> -ERR NX and XX, GT or LT options at the same time are not compatible
EXPIRE a 10 NX XX -> -ERR NX and XX, GT or LT options at the same time are not compatible
EXPIRE a 10 GT LT -> -ERR GT and LT options at the same time are not compatible
EXPIRE a 10 XX GT -> 0
EXPIRE a 10 XX LT -> 1
EXPIRE a 20 NX -> 0
EXPIRE a 20 GT -> 1
EXPIRE a 20 GT -> 0
EXPIRE a 15 gt -> 0
EXPIRE a 30 LT -> 0
EXPIRE a 15 lt -> 1
PERSIST a -> 1
EXPIRE a 10 XX -> 0
EXPIRE a 10 GT -> 0
EXPIRE a 10 LT -> 1
# a time that is past deletes
SET a 1 -> +OK
EXPIRE a 0 -> 1
EXISTS a -> 0
SET a 1 -> +OK
EXPIRE a -9223372036854775 -> 1
EXISTS a -> 0
SET a 1 -> +OK
PEXPIREAT a 1 -> 1
EXISTS a -> 0
# expiry
SET a 1 PX 100 -> +OK
wait 100
GET a -> "1"
PTTL a -> 0
wait 1
GET a -> nil
TTL a -> -2
EXISTS a -> 0
TYPE a -> +none
STRLEN a -> 0
KEYS * -> []
SCAN 0 -> ["0", []]
OBJECT ENCODING a -> nil
RENAME a b -> -ERR no such key
DBSIZE -> 0
SET a 1 PX 100 -> +OK
wait 101
INCR a -> 1
TTL a -> -1
SET a 1 PX 100 -> +OK
wait 101
DEL a -> 0
SET a 1 PX 100 -> +OK
wait 101
SET a 2 XX -> nil
SET a 1 PX 100 -> +OK
wait 101
SET a 2 NX -> +OK
GET a -> "2"
SET a 1 PX 100 -> +OK
wait 101
APPEND a x -> 1
PERSIST a -> 0
SET a 1 PX 100 -> +OK
wait 101
EXPIRE a 100 -> 0
SET a 1 PX 100 -> +OK
wait 101
SET a 2 KEEPTTL -> +OK
TTL a -> -1
"""


def parse_word(text):
    """One word of a command: Python's bytes escapes."""
    return b"" if text == '""' else text.encode().decode("unicode_escape").encode("latin-1")


def parse_reply(text):
    """The reply that the right side of an arrow describes."""
    if text.startswith("+"):
        return Status(text[1:].encode())
    if text.startswith("-ERR"):
        return Error(text[1:].encode())
    return _as_reply(ast.literal_eval(text.replace("nil", "None")))


def _as_reply(value):
    if isinstance(value, list):
        return [_as_reply(item) for item in value]
    return value.encode("latin-1") if isinstance(value, str) else value


def scripts(text):
    """(title, [(words, reply) or (milliseconds, None)]) for each `# title`."""
    for section in text.split("\n# ")[1:]:
        title, *lines = section.strip().split("\n")
        steps = []
        for line in lines:
            if line.startswith("wait "):
                steps.append((int(line[5:]), None))
                continue
            command, _, reply = line.partition(" -> ")
            steps.append(([parse_word(word) for word in command.split()], parse_reply(reply)))
        yield title, steps
