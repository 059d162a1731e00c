"""What a scenario found: its figures, and the promises that were broken."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Report:
    """Figures are for people: what was measured, in words and numbers."""

    name: str
    figures: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def figure(self, label: str, text: object) -> None:
        self.figures.append((label, str(text)))

    def expect(self, holds: bool, sentence: str) -> None:
        """`sentence` says what is wrong if it does not hold."""
        if not holds:
            self.broken.append(sentence)

    @property
    def passed(self) -> bool:
        return not self.broken

    def text(self) -> str:
        width = max((len(label) for label, _ in self.figures), default=0)
        lines = [f"{self.name}: {'passed' if self.passed else 'FAILED'}"]
        lines += [f"  {label:<{width}}  {text}" for label, text in self.figures]
        lines += [f"  BROKEN: {sentence}" for sentence in self.broken]
        return "\n".join(lines)

    def as_data(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed}
