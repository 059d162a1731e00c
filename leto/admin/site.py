"""The admin port: status, health and metrics over HTTP. Off unless --admin-listen is given; it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from leto.admin.channel import AdminChannel, AdminRequest
from leto.admin.health import readiness
from leto.admin.hosts import is_answered_to, refusal
from leto.admin.metrics import LetoCollector
from leto.admin.pages import NOT_FOUND, Answer, Page, error_answer, json_answer
from leto.config import Address, Config
from leto.errors import LetoError
from leto.interfaces.replica import Replica
from leto.reactor.descriptors import ADMIN
from leto.reactor.stalls import StallMeter
from leto.status import cluster_report

MOST_CONNECTIONS: Final = ADMIN


def bind_address(address: Address) -> Address:
    """Where the admin port listens: loopback, unless the address names a host ("*" for all interfaces)."""
    if address.host == "":
        return Address("127.0.0.1", address.port)
    return Address("", address.port) if address.host == "*" else address


def answered_names(config: Config) -> frozenset[str]:
    """The names that a request may ask for, besides localhost."""
    listens = [config.admin_listen.host] if config.admin_listen is not None else []
    return frozenset(name.lower() for name in (*listens, *config.admin_hosts))


class Root(Resource):
    """Looks paths up in `pages`, the page of "/" included. A page at "/x" also gets what lies below it."""

    def __init__(self, pages: dict[bytes, Resource]) -> None:
        super().__init__()
        self._pages = pages

    def getChild(self, path: bytes, request: Request) -> Resource:
        below = [part for part in request.postpath or () if part]
        page = self._pages.get(path)
        if page is None or (path == b"" and below):
            return NOT_FOUND
        return page

    def render(self, request: Request) -> bytes | int:
        return NOT_FOUND.render(request)


class AdminSite(Site):
    """A twisted.web Site: / (index), /status, /livez, /readyz, /metrics.

    `replica` is None while the node has none: attach() it then, and `waiting` says why until then. `failure` tells why
    the node's disk is given up ("" while it works). Further pages, such as a dashboard, are added with add_page; a page
    for "" replaces the index. Of MOST_CONNECTIONS and one more the oldest is closed: whoever asks is done soon.
    """

    noisy = False
    displayTracebacks = False
    protocol = AdminChannel  # type: ignore[assignment]

    def __init__(
        self,
        replica: Replica | None,
        config: Config,
        *,
        resp_factory: Any = None,
        reactor: Any,
        failure: Callable[[], str] | None = None,
        meter: StallMeter | None = None,
        waiting: Callable[[], str] = lambda: "this node has no data yet",
    ) -> None:
        self._replica = replica
        self._failure = failure
        self._waiting = waiting
        self._names = answered_names(config)
        self._collector = LetoCollector(replica, config, resp_factory=resp_factory, meter=meter or StallMeter())
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._collector)
        self._pages: dict[bytes, Resource] = {}
        self._channels: dict[AdminChannel, None] = {}  # the oldest first
        super().__init__(Root(self._pages), requestFactory=AdminRequest, reactor=reactor)
        self.add_page("", Page(self._index))
        self.add_page("status", Page(self._status))
        self.add_page("livez", Page(self._livez))
        self.add_page("readyz", Page(self._readyz))
        self.add_page("metrics", Page(self._metrics))

    def attach(self, replica: Replica, resp_factory: Any) -> None:
        """The node has its replica."""
        self._replica = replica
        self._collector.attach(replica, resp_factory)

    def getResourceFor(self, request: Any) -> Any:
        """Nothing is shown to one who asks by a name that is not this node's."""
        hosts = request.requestHeaders.getRawHeaders(b"host") or []
        if not is_answered_to(hosts, self._names):
            return Page(lambda _: error_answer(421, refusal(hosts)))
        return super().getResourceFor(request)

    def opened(self, channel: AdminChannel) -> None:
        """Somebody connected."""
        self._channels[channel] = None
        if len(self._channels) > MOST_CONNECTIONS:
            next(iter(self._channels)).abort()

    def closed(self, channel: AdminChannel) -> None:
        """A connection is gone."""
        self._channels.pop(channel, None)

    def add_page(self, name: str, page: Resource) -> None:
        """Serve `page` at /name, in place of what was there."""
        self._pages[name.encode()] = page

    def log(self, request: Any) -> None:
        """No line a request: probes and scrapes come every few seconds for ever."""

    def _index(self, request: Request) -> Answer:
        return json_answer({"pages": sorted(f"/{name.decode()}" for name in self._pages if name)})

    async def _status(self, request: Request) -> Answer:
        if self._replica is None:
            return error_answer(503, self._waiting())
        try:
            cluster = await self._replica.cluster_status()
        except LetoError as error:
            return error_answer(503, str(error))
        return json_answer(cluster_report(cluster))

    def _livez(self, request: Request) -> Answer:
        failure = self._failure() if self._failure is not None else ""
        if failure:
            return json_answer({"live": False, "reason": failure}, 503)
        return json_answer({"live": True})

    def _readyz(self, request: Request) -> Deferred[Answer]:
        return Deferred.fromCoroutine(self._evaluate_readiness())

    async def _evaluate_readiness(self) -> Answer:
        reason = self._waiting() if self._replica is None else await readiness(self._replica, self.reactor)
        if reason:
            return json_answer({"ready": False, "reason": reason}, 503)
        return json_answer({"ready": True})

    def _metrics(self, request: Request) -> Answer:
        accept = request.getHeader(b"accept") or b""
        encoder, content_type = choose_encoder(accept.decode("latin-1"))
        return Answer(200, content_type.encode("ascii"), encoder(self._registry))
