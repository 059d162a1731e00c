from __future__ import annotations

from tests.clients.conftest import client, node

__all__ = ["client", "node"]
