"""Maps of populations with places: patches and pooling of images, and to one place and back.

Places follow each other row by row, and each has all channels: ``[R, K H W, C]``. A single place
that holds an image has it channel by channel, as images are stored: ``[R, K, C H W]``.

This module loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from plastic_core.api.maps import Map

if TYPE_CHECKING:
    from torch import Tensor


class Places(Map):
    """From one place with an image to its rows and columns.

    Args:
        channels: C.
        grid: H and W.
    """

    linear = layout = True

    def __init__(self, channels: int, grid: tuple[int, ...]) -> None:
        self._channels, self._grid = channels, grid

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        replicas, samples, _ = inputs[0].shape
        x = inputs[0].reshape(replicas, samples, self._channels, -1)
        return x.mT.reshape(replicas, -1, self._channels), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return (_in_one_place(error, self._grid),)


class Flatten(Map):
    """From all places to one, channel by channel.

    Args:
        grid: how the places lie.
    """

    linear = layout = True

    def __init__(self, grid: tuple[int, ...]) -> None:
        self._grid = grid

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        return _in_one_place(inputs[0], self._grid), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        replicas, samples, units = error.shape
        places = math.prod(self._grid)
        errors = error.reshape(replicas, samples, units // places, places)
        return (errors.mT.reshape(replicas, -1, units // places),)


def _in_one_place(x: Tensor, grid: tuple[int, ...]) -> Tensor:
    replicas, rows, channels = x.shape
    places = math.prod(grid)
    return x.reshape(replicas, rows // places, places, channels).mT.reshape(
        replicas, rows // places, -1
    )


class Windows(Map):
    """Base of maps that look at a population through a window, which moves over it.

    Args:
        grid: H and W of the population.
        size: rows and columns of the window.
        stride: by how much it moves, along both sides or along each.
        padding: places of 0 around the population.

    Attributes:
        grid: how many windows there are, in rows and columns.
    """

    linear = True

    def __init__(
        self,
        grid: tuple[int, ...],
        size: tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int = 0,
    ) -> None:
        self._below, self._size, self._padding = grid, size, padding
        self._stride = (stride, stride) if isinstance(stride, int) else stride
        self.grid = tuple(
            (n + 2 * padding - k) // step + 1
            for n, k, step in zip(grid, size, self._stride, strict=True)
        )

    def _windows(self, x: Tensor) -> Tensor:
        """Return ``[R, K, H', W', C, k, k]``, a view where nothing is padded."""
        import torch

        height, width = self._below
        image = x.reshape(len(x), -1, height, width, x.shape[-1])
        if self._padding:
            image = torch.nn.functional.pad(image, (0, 0, *(self._padding,) * 4))
        (rows, columns), (down, right) = self._size, self._stride
        return image.unfold(2, rows, down).unfold(3, columns, right)

    def _folded(self, windows: Tensor) -> Tensor:
        """Return the sum of what windows ``[R, K H' W', C k k]`` have at each place."""
        import torch

        replicas, rows, size = windows.shape
        samples = rows // math.prod(self.grid)
        image = torch.nn.functional.fold(
            windows.reshape(replicas * samples, -1, size).mT,
            self._below,
            self._size,
            padding=self._padding,
            stride=self._stride,
        )
        return image.flatten(2).mT.reshape(replicas, -1, image.shape[1])


class Patches(Windows):
    """What each window sees, ``[R, K H' W', C k k]``: by channel, then row, then column."""

    layout = True

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        windows = self._windows(inputs[0])
        return windows.reshape(len(windows), -1, windows.shape[4:].numel()), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return (self._folded(error),)


class AveragePool(Windows):
    """The mean of each channel over each window."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        windows = self._windows(inputs[0])
        return windows.mean((-2, -1)).reshape(len(windows), -1, windows.shape[4]), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        count = math.prod(self._size)
        each = (error / count).unsqueeze(-1).expand(*error.shape, count)
        return (self._folded(each.flatten(2)),)


class MaxPool(Windows):
    """The largest of each channel in each window; of equals the first has the error."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        largest, which = self._flat(inputs[0]).max(-1)
        return largest, which

    def along(self, changes: Sequence[Tensor], kept: Any) -> Tensor:
        """See `Map.along`."""
        which = kept.repeat(len(changes[0]) // len(kept), 1, 1).unsqueeze(-1)
        return self._flat(changes[0]).gather(-1, which).squeeze(-1)

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        which = kept.repeat(len(error) // len(kept), 1, 1).unsqueeze(-1)
        windows = error.new_zeros(*error.shape, math.prod(self._size))
        return (self._folded(windows.scatter(-1, which, error.unsqueeze(-1)).flatten(2)),)

    def _flat(self, x: Tensor) -> Tensor:
        windows = self._windows(x)
        return windows.reshape(len(windows), -1, windows.shape[4], math.prod(self._size))
