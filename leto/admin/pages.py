"""The web resources of the admin port: what all pages share (methods, headers, errors as JSON)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

JSON = b"application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page answers: HTTP status, media type, bytes."""

    status: int
    content_type: bytes
    body: bytes


def json_answer(data: Any, status: int = 200) -> Answer:
    """`data` as readable JSON."""
    return Answer(status, JSON, json.dumps(data, indent=2).encode() + b"\n")


def error_answer(status: int, sentence: str) -> Answer:
    """An error as JSON: {"error": sentence}."""
    return json_answer({"error": sentence}, status)


def write_answer(request: Request, answer: Answer) -> bytes:
    """Set the answer's status and headers on `request` and return its body (twisted.web drops it for HEAD)."""
    request.setResponseCode(answer.status)
    headers = request.responseHeaders
    headers.setRawHeaders(b"content-type", [answer.content_type])
    headers.setRawHeaders(b"content-length", [b"%d" % len(answer.body)])
    headers.setRawHeaders(b"cache-control", [b"no-store"])
    headers.setRawHeaders(b"x-content-type-options", [b"nosniff"])
    return b"" if request.method == b"HEAD" else answer.body


class Page(Resource):
    """One path. `answer(request)` gives an Answer, now or later; what it raises becomes a 500 and a log line.

    GET and HEAD only: nothing on the admin port changes anything.
    """

    log = Logger()

    def __init__(self, answer: Callable[[Request], Answer | Awaitable[Answer]]) -> None:
        super().__init__()
        self._answer = answer

    def getChild(self, path: bytes, request: Request) -> Resource:
        return NOT_FOUND

    def render(self, request: Request) -> bytes | int:
        if request.method not in (b"GET", b"HEAD"):
            request.responseHeaders.setRawHeaders(b"allow", [b"GET, HEAD"])
            return write_answer(request, error_answer(405, "only GET and HEAD are answered here"))
        waiting = Deferred.fromCoroutine(self._evaluate(request))
        gone: list[Failure] = []

        def client_gone(failure: Failure) -> None:
            gone.append(failure)
            waiting.cancel()

        def deliver(answer: Answer) -> None:
            if not gone:
                body = write_answer(request, answer)
                if body:
                    request.write(body)
                request.finish()

        def failed(failure: Failure) -> None:
            if gone and failure.check(CancelledError):
                return
            self.log.failure("the admin page {path} failed", failure=failure, path=request.path)
            deliver(error_answer(500, "this page failed; the node's log says why"))

        request.notifyFinish().addErrback(client_gone)
        waiting.addCallback(deliver).addErrback(failed)
        return NOT_DONE_YET

    async def _evaluate(self, request: Request) -> Answer:
        answer = self._answer(request)
        return answer if isinstance(answer, Answer) else await answer


def _not_found(request: Request) -> Answer:
    return error_answer(404, "there is no such page")


NOT_FOUND = Page(_not_found)
