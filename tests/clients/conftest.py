from __future__ import annotations

import pytest

from tests.clients.conversation import Client, Node


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def client(node: Node) -> Client:
    return node.client()
