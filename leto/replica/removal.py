"""Says once that this node is no member any more, or that it may be none, and what is to be done about it."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from leto.config import Config


class Removal:
    """One node's. `on_removed` is told the reason, once."""

    log = Logger(namespace="leto.replica")

    def __init__(self, config: Config, on_removed: Callable[[str], None]) -> None:
        self._config = config
        self._on_removed = on_removed
        self._said_removed = False
        self._said_left_out = False

    def removed(self, by: str = "") -> None:
        """The cluster goes on without this node, by its own log or as `by` says."""
        if not self._said_removed:
            self._said_removed = True
            reason = f"{self._config.id} was removed from the cluster" + (f", says {by}" if by else "")
            self.log.warn(
                "{reason}. Its data is of no more use: to have it back as a new member, move the directory {directory} "
                "away and start it with --join",
                reason=reason,
                directory=self._config.raftdir,
            )
            self._on_removed(reason)

    def left_out_by(self, leader: str) -> None:
        """Removed while it was being brought the log, most likely; but a leader that has just come back may not have
        applied yet that it was added. So it goes on, and says so."""
        if not self._said_left_out:
            self._said_left_out = True
            self.log.warn(
                "{leader}, which leads and brought {id} the log, knows no member of that id: if it was removed, stop "
                "this node. To have it back as a new member, move the directory {directory} away and start it with "
                "--join",
                leader=leader,
                id=self._config.id,
                directory=self._config.raftdir,
            )
