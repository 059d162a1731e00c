"""Getting a cluster's view from the admin ports of its nodes, over HTTP: no password is needed there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import treq
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.task import react
from twisted.web.client import Agent, ResponseFailed
from twisted.web.http_headers import Headers

from leto.config import Address
from leto.ctl.resp_client import MAX_REPLY_BYTES, AskFailed
from leto.ctl.view import parse_cluster

# The port answers to few names, to keep out pages that make a browser ask it by theirs; this is no browser.
_HEADERS = Headers({"Host": ["localhost"]})


def ask_any(addresses: Sequence[Address], *, timeout: float) -> tuple[dict[str, Any], list[str]]:
    """What the first admin port of `addresses` that answers says of the cluster, and a sentence for each that did
    not. Runs the reactor, which a process can do once. Raises AskFailed with all those sentences when none does."""
    found: list[tuple[dict[str, Any], list[str]]] = []
    failures: list[str] = []

    async def ask_in_turn(reactor: Any) -> None:
        for address in addresses:
            try:
                found.append((await ask(reactor, address, timeout=timeout), failures))
            except AskFailed as error:
                failures.append(str(error))
            else:
                return

    try:
        react(lambda reactor: Deferred.fromCoroutine(ask_in_turn(reactor)))
    except SystemExit as end:  # how react() ends
        if end.code:
            raise
    if not found:
        raise AskFailed("; ".join(failures))
    return found[0]


async def ask(reactor: Any, address: Address, *, timeout: float) -> dict[str, Any]:
    """The cluster as the admin port at `address` sees it, within `timeout` seconds. Raises AskFailed."""
    host = f"[{address.host}]" if ":" in address.host else address.host or "127.0.0.1"
    agent: Any = Agent(reactor, connectTimeout=timeout)
    body = bytearray()

    def received(data: bytes) -> None:
        body.extend(data)
        if len(body) > MAX_REPLY_BYTES:
            raise AskFailed(f"{address} answered more than {MAX_REPLY_BYTES} bytes")

    async def fetch() -> int:
        response = await treq.get(f"http://{host}:{address.port}/status", agent=agent, headers=_HEADERS)
        await treq.collect(response, received)
        return int(response.code)

    waiting = Deferred.fromCoroutine(fetch())
    waiting.addTimeout(timeout, reactor, onTimeoutCancel=_too_late)
    try:
        code = await waiting
    except (TimeoutError, ConnectTimeout):
        raise AskFailed(f"{address} did not answer within {timeout:g} s") from None
    except (ConnectError, DNSLookupError) as error:
        raise AskFailed(f"{address} cannot be reached: {_reason(error)}") from None
    except ResponseFailed:
        raise AskFailed(f"{address} does not speak HTTP, or closed the connection before it had answered") from None
    if code != 200:
        raise AskFailed(f"{address} answered HTTP status {code}: {_said(bytes(body))}")
    return parse_cluster(bytes(body), address)


def _said(body: bytes) -> str:
    """A refusal as one line: the reason alone, where it is an admin port's."""
    try:
        answer = json.loads(body)
        if isinstance(answer, dict) and isinstance(answer.get("error"), str):
            return str(answer["error"])
    except ValueError:
        pass
    return " ".join(body[:200].decode(errors="replace").split())


def _too_late(result: object, seconds: float) -> None:
    """Whatever the cancelled request failed with, which depends on how far it had come."""
    raise TimeoutError


def _reason(error: Exception) -> str:
    number = getattr(error, "osError", None)
    return os.strerror(number) if isinstance(number, int) else str(error)
