from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.admin.admin_http import Admin


@pytest.fixture
def admin() -> Iterator[Admin]:
    """The admin port of a healthy leader; fails the test if it leaves a delayed call behind."""
    admin = Admin()
    yield admin
    admin.stop()
    admin.clock.advance(100)  # HTTP time-outs of requests that were answered run out
    assert admin.clock.getDelayedCalls() == []
