"""One fault of a plugin, as ``plastic check`` lists it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What is wrong with a plugin, and what to write instead.

    Attributes:
        place: where it is: a class, one of its methods, an entry point; with file and line
            where they are known.
        found: what was found there.
        accepted: what is accepted instead.
        example: code that is right.
    """

    place: str
    found: str
    accepted: str
    example: str

    def __str__(self) -> str:
        return f"{self.place} {self.found}; {self.accepted}"
