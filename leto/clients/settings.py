"""What of the settings about clients CONFIG SET may change while the node runs."""

from __future__ import annotations

from leto.config import Config


class ClientSettings:
    """As the configuration has them at first. Sizes in bytes."""

    def __init__(self, config: Config) -> None:
        self.password = config.password.encode() if config.password else None
        self.maxclients = config.maxclients
        self.max_bulk_bytes = config.max_bulk_bytes
        self.output_limits = config.client_output_limits
        self.query_buffer_limit = config.client_query_buffer_limit
        self.pending_bytes = config.client_pending_bytes
        self.protected_mode = config.protected_mode
        self.tcp_keepalive = config.tcp_keepalive
        self.changed: set[str] = set()  # what CONFIG SET has set, by its option's name
        self.inert: dict[str, str] = {}  # see leto.commands.inert_settings: what was set, by name
