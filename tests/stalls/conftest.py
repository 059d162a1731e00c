"""The nodes' logs where a test fails, as in tests/integration."""

from tests.integration.conftest import nodes_of_this_test, pytest_runtest_makereport  # noqa: F401
