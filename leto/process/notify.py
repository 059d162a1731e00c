"""Tells systemd how the node is: ready, stopping, alive (sd_notify(3), one datagram each, no library)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger


class Notifier:
    """Speaks to the service manager that $NOTIFY_SOCKET names; says nothing when there is none.

    The watchdog's pings come from the reactor, so a reactor that hangs for $WATCHDOG_USEC is restarted.
    """

    _log = Logger()

    def __init__(self, reactor: Any, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._pings = LoopingCall(self.send, "WATCHDOG=1")
        self._pings.clock = reactor
        self._watchdog = _watchdog_seconds(environment) if address else 0.0

    def ready(self, status: str) -> None:
        """The node serves: units ordered after it may start. Begins the watchdog's pings."""
        self.send(f"READY=1\nSTATUS={status}")
        if self._watchdog and not self._pings.running:
            pinging: Deferred[LoopingCall] = self._pings.start(self._watchdog / 2)
            pinging.addErrback(lambda failure: self._log.failure("the watchdog's pings ended", failure))

    def stopping(self) -> None:
        """The node stops in order; the pings go on, for a stop that hangs must end too."""
        self.send("STOPPING=1")

    def stop(self) -> None:
        """No more pings."""
        if self._pings.running:
            self._pings.stop()

    def send(self, state: str) -> None:
        """Send assignments, one a line. A service manager that does not listen is no reason to stop serving."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto(state.encode(), self._address)
            except OSError as error:
                self._log.warn(
                    "cannot tell the service manager {state}: {error}", state=state.split("\n")[0], error=error
                )


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """$WATCHDOG_USEC in seconds, 0 when it is off or meant for another process."""
    period = environment.get("WATCHDOG_USEC", "")
    process = environment.get("WATCHDOG_PID", "")
    if not period.isdigit() or (process and process != str(os.getpid())):
        return 0.0
    return int(period) / 1e6
