"""How populations with places are laid out: tables of what is read where, and who reads by them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from plastic_core.api.circuit import Apply, Circuit, Node
from plastic_core.api.image_maps import AveragePool, Flatten, MaxPool, Patches, Places, Windows
from plastic_core.api.maps import Map
from plastic_core.api.step_maps import AtStep
from plastic_core.backends.native.code import Code, Operation
from plastic_core.backends.native.vectors import Vectors

#: A place, and one of its units; (-1, 0) is none, which holds 0.
At = tuple[int, int]

_NONE: Final[At] = (-1, 0)

_POOLS: Final[dict[type[Map], Code]] = {MaxPool: Code.POOL, AveragePool: Code.AVERAGE}

#: The maps that only lay out, or look through windows.
LAID_OUT: Final = (Places, Flatten, Patches, MaxPool, AveragePool, AtStep)


@dataclass(frozen=True)
class Layout:
    """One sample of a population made of another: number n of place p is read at p's base + n.

    Attributes:
        places: of what is read.
        units: of what is read, at each place.
        bases: for each place.
        offsets: for each number, or of a pool for each place of a window.
    """

    places: int
    units: int
    bases: tuple[At, ...]
    offsets: tuple[At, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The layout as C reads it."""
        ends = (self.places, self.units, len(self.bases), len(self.offsets))
        return (*ends, *itertools.chain(*self.bases, *self.offsets))


class Layouts:
    """What is read by layouts.

    Args:
        circuit: the network.
        vectors: where vectors lie.

    Attributes:
        tables: the layouts, which operations name by their number.
    """

    def __init__(self, circuit: Circuit, vectors: Vectors) -> None:
        self._circuit, self._vectors = circuit, vectors
        self.tables: list[Layout] = []
        self._known: dict[Apply, list[int]] = {}

    def read(self, apply: Apply, place: int, out: int) -> list[Operation]:
        """Return what lays out a population, an image first with places of 0 around it."""
        *before, last = self._of(apply)
        operations = []
        for which in before:
            padded = self._padded("node", apply)
            operations.append(Operation(Code.GATHER, (place, padded), which))
            place = padded
        code = _POOLS.get(type(apply.map), Code.GATHER)
        return [*operations, Operation(code, (place, out), last)]

    def bring_back(self, apply: Apply, error: int, into: int) -> list[Operation]:
        """Return what brings errors back to where what was laid out had been read."""
        *before, last = self._of(apply)
        there = self._padded("error", apply) if before else into
        if type(apply.map) is MaxPool:
            x, y = (self._vectors.at("node", node) for node in (apply.inputs[0], apply.output))
            first = Operation(Code.POOL_BACK, (error, x, y, there), last)
        else:
            code = Code.AVERAGE_BACK if type(apply.map) is AveragePool else Code.SCATTER
            first = Operation(code, (error, there), last)
        return [first, *(Operation(Code.SCATTER, (there, into), which) for which in before)]

    def read_error(self, pre: Node, error: int, into: int) -> list[Operation]:
        """Return what lays out the error of a population as `pre` lays out the population."""
        numbers: list[int] = []
        made = self._circuit.maker.get(pre)
        while isinstance(made, Apply) and made.map.layout:
            numbers = self._of(made) + numbers
            made = self._circuit.maker.get(made.inputs[0])
        operations = []
        for which in numbers:
            table = self.tables[which]
            to = into
            if which != numbers[-1]:
                key = ("laid out", pre, which)
                to = self._vectors.room(key, len(table.offsets), len(table.bases))
            operations.append(Operation(Code.GATHER, (error, to), which))
            error = to
        return operations

    def _of(self, apply: Apply) -> list[int]:
        """Return which layouts a map reads by, one after the other."""
        if apply not in self._known:
            units = self._circuit.units[apply.inputs[0].series]
            made, first = _layouts_of(apply.map, units), len(self.tables)
            self.tables += made
            self._known[apply] = list(range(first, first + len(made)))
        return self._known[apply]

    def _padded(self, kind: str, apply: Apply) -> int:
        """Return the place of an image, or of its error, with places of 0 around it."""
        table = self.tables[self._of(apply)[0]]
        key = (f"padded {kind}", apply.output)
        return self._vectors.room(key, table.units, len(table.bases))


def _layouts_of(function: Map, units: int) -> list[Layout]:
    """Return what one of `LAID_OUT` reads by, one layout after the other.

    Args:
        function: the map.
        units: at each place of what it reads.
    """
    if isinstance(function, Places):
        return [_places(function)]
    if isinstance(function, Flatten):
        return [_flattened(function, units)]
    if isinstance(function, AtStep):
        shown = function.shown
        offsets = tuple((0, unit) for unit in range(shown.stop - shown.start))
        return [Layout(1, units, ((0, shown.start),), offsets)]
    assert isinstance(function, Windows)
    seen = _windows(function, units)
    return [_padded(function, units), seen] if function.padding else [seen]


def _places(function: Places) -> Layout:
    """Return the layout of an image's places."""
    places = math.prod(function.grid)
    bases = tuple((0, place) for place in range(places))
    offsets = tuple((0, channel * places) for channel in range(function.channels))
    return Layout(1, places * function.channels, bases, offsets)


def _flattened(function: Flatten, channels: int) -> Layout:
    """Return the layout of all places as one."""
    places = math.prod(function.grid)
    offsets = itertools.product(range(channels), range(places))
    return Layout(places, channels, ((0, 0),), tuple((place, unit) for unit, place in offsets))


def _padded(function: Windows, channels: int) -> Layout:
    """Return the layout of an image with places of 0 around it."""
    edge, (height, width) = function.padding, function.below
    bases = tuple(
        (row * width + column, 0) if 0 <= row < height and 0 <= column < width else _NONE
        for row in range(-edge, height + edge)
        for column in range(-edge, width + edge)
    )
    return Layout(height * width, channels, bases, tuple((0, unit) for unit in range(channels)))


def _windows(function: Windows, channels: int) -> Layout:
    """Return the layout of windows over an image with its places of 0.

    Offsets of patches are those of numbers, by channel, row and column; of a pool of places.
    """
    height, width = (side + 2 * function.padding for side in function.below)
    bases = tuple(_corners(function, width))
    inside = [row * width + column for row, column in itertools.product(*map(range, function.size))]
    channels_read = range(channels) if isinstance(function, Patches) else (0,)
    offsets = tuple((place, channel) for channel in channels_read for place in inside)
    return Layout(height * width, channels, bases, offsets)


def _corners(function: Windows, width: int) -> Iterator[At]:
    rows, columns = function.grid
    down, right = function.stride
    for row, column in itertools.product(range(rows), range(columns)):
        yield row * down * width + column * right, 0
