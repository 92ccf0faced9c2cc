"""What C does in a step: its operations, and the vectors that they are about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final

from plastic_core.api.signals import MATRIX_SIGNALS, SIGNALS

#: The vectors that kernels read, in the order of the struct `signals_t`.
VECTOR_SIGNALS: Final = tuple(name for name in SIGNALS if name not in MATRIX_SIGNALS)

#: A place that is none.
NOWHERE: Final = -1


class Code(IntEnum):
    """What an operation does; at which places, the comments say."""

    SEND = auto()  # pre, z
    ACTIVATE = auto()  # z, y
    NORMALISE = auto()  # z, normalised, scale
    ADD = auto()  # two parts, sum
    COPY = auto()  # from, to
    REPEAT = auto()  # of each sample, to all of its places
    SCALE = auto()  # from, to; which constant it is multiplied by
    ONE = auto()  # what is always 1
    OUTPUT = auto()  # z_L, y_L
    COMPARE = auto()  # y_L, its error
    TARGET = auto()  # where it goes
    GATHER = auto()  # from, to
    SCATTER = auto()  # error of "to", into "from"
    POOL = auto()  # x, y
    POOL_BACK = auto()  # error, x, y, into
    AVERAGE = auto()  # x, y
    AVERAGE_BACK = auto()  # error, into
    SEND_BACK = auto()  # the error of what was sent, or nowhere
    ACTIVATE_BACK = auto()  # error, z, y, into
    NORMALISE_BACK = auto()  # error, normalised, scale, into
    LEARN = auto()


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        code: what is done.
        places: where.
        which: of the projections, the activation functions, the layouts or the constants.
        begin: the first of a projection's events, counted in mini-batches.
        count: events of one sample that it is about.
    """

    code: Code
    places: tuple[int, ...] = ()
    which: int = 0
    begin: int = 0
    count: int = 1

    @property
    def row(self) -> tuple[int, ...]:
        """The struct `operation_t` of network.c."""
        nowhere = (NOWHERE,) * (4 - len(self.places))
        return (self.code, self.which, self.begin, self.count, *self.places, *nowhere)
