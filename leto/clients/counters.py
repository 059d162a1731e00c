"""What is counted of all clients since the start, or since CONFIG RESETSTAT."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from leto.vocabulary.replies import Error


class Counters:
    """Plain numbers, which whoever meets the thing counts up. `seconds`: the reactor's clock."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.reset()

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        self.connections = 0
        self.rejected_connections = 0
        self.refused_unprotected = 0
        self.commands = 0
        self.input_bytes = 0
        self.output_bytes = 0
        self.protocol_errors = 0
        self.output_overruns = 0
        self.query_overruns = 0
        self.authentication_failures = 0
        self.errors: Counter[bytes] = Counter()  # error replies by their code word
        self._sampled = (self._seconds(), 0)
        self._sampled_rate = 0

    def count_error(self, error: Error) -> None:
        """It was some client's reply."""
        self.errors[error.text.partition(b" ")[0]] += 1

    def commands_per_second(self) -> int:
        """Since the last time it was asked at least a second ago."""
        now = self._seconds()
        then, commands = self._sampled
        if now - then >= 1.0:
            self._sampled_rate = int((self.commands - commands) / (now - then))
            self._sampled = (now, self.commands)
        return self._sampled_rate
