"""Hold what one step hands to the next."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.stack.supervisor import Stack
from demo.client import Api
from demo.people import Cast


@dataclass
class Stage:
    """Hold the running stack, the people, and the ids that the API gave out."""

    stack: Stack
    cast: Cast
    folder: Path
    checkpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    assessments: dict[str, dict[str, Any]] = field(default_factory=dict)
    reviews: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def erin(self) -> Api:
        return self.cast.erin

    @property
    def lena(self) -> Api:
        return self.cast.lena

    @property
    def sam(self) -> Api:
        return self.cast.sam

    @property
    def olga(self) -> Api:
        return self.cast.olga

    @property
    def aki(self) -> Api:
        return self.cast.aki
