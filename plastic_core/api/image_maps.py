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

    Attributes:
        channels, grid: as given.
    """

    linear = layout = True

    def __init__(self, channels: int, grid: tuple[int, ...]) -> None:
        self.channels, self.grid = channels, grid

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        replicas, samples, _ = inputs[0].shape
        x = inputs[0].reshape(replicas, samples, self.channels, -1)
        return x.mT.reshape(replicas, -1, self.channels), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return (_in_one_place(error, self.grid),)


class Flatten(Map):
    """From all places to one, channel by channel.

    Args:
        grid: how the places lie.

    Attributes:
        grid: as given.
    """

    linear = layout = True

    def __init__(self, grid: tuple[int, ...]) -> None:
        self.grid = grid

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        return _in_one_place(inputs[0], self.grid), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        replicas, samples, units = error.shape
        places = math.prod(self.grid)
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
        stride: rows and columns by which it moves.
        padding: places of 0 around the population.

    Attributes:
        below: H and W of the population.
        size, stride, padding: as given.
        grid: how many windows there are, in rows and columns.
    """

    linear = True

    def __init__(
        self,
        grid: tuple[int, ...],
        size: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: int = 0,
    ) -> None:
        self.below, self.size, self.padding = grid, size, padding
        self.stride = stride
        self.grid = tuple(
            (n + 2 * padding - k) // step + 1
            for n, k, step in zip(grid, size, self.stride, strict=True)
        )
        # for each number of channels and device
        self._found: dict[tuple[int, Any], Tensor] = {}

    def _sources(self, like: Tensor, channels: int) -> Tensor:
        """Return where in a padded image each number of all windows comes from."""
        import torch

        key = channels, like.device
        if key not in self._found:
            height, width = (n + 2 * self.padding for n in self.below)
            place = torch.arange(height * width).view(height, width)
            (rows, columns), (down, right) = self.size, self.stride
            windows = place.unfold(0, rows, down).unfold(1, columns, right).unsqueeze(2)
            found = windows * channels + torch.arange(channels).view(-1, 1, 1)
            self._found[key] = found.flatten().to(like.device)
        return self._found[key]

    def _windows(self, x: Tensor) -> Tensor:
        """Return what each window sees, ``[R, K H' W', C k k]``."""
        import torch

        replicas, _, channels = x.shape
        image = x.reshape(replicas, -1, *self.below, channels)
        if self.padding:
            image = torch.nn.functional.pad(image, (0, 0, *(self.padding,) * 4))
        (rows, columns), (down, right) = self.size, self.stride
        seen = image.unfold(2, rows, down).unfold(3, columns, right)
        copied = seen.clone(memory_format=torch.contiguous_format)
        return copied.view(replicas, -1, channels * math.prod(self.size))

    def _folded(self, windows: Tensor) -> Tensor:
        """Return the sum of what windows ``[R, K H' W', C k k]`` have at each place."""
        replicas, _, size = windows.shape
        channels, edge = size // math.prod(self.size), self.padding
        height, width = (n + 2 * edge for n in self.below)
        parts = windows.reshape(replicas, -1, size * math.prod(self.grid))
        image = windows.new_zeros(*parts.shape[:2], height * width * channels)
        image = image.index_add(2, self._sources(windows, channels), parts)
        image = image.view(*parts.shape[:2], height, width, channels)
        inner = image[:, :, edge : height - edge, edge : width - edge]
        return inner.reshape(replicas, -1, channels)


class Patches(Windows):
    """What each window sees, ``[R, K H' W', C k k]``: by channel, then row, then column.

    Args:
        grid, size, stride, padding: those of `Windows`.
    """

    layout = True

    def convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return W of each window of one network, ``[1, K H' W', n]``, without the windows.

        Args:
            x: ``[1, K H W, C]``.
            weight: ``[n, C k k]``.
        """
        import torch

        channels, units = x.shape[-1], len(weight)
        images = x.reshape(-1, *self.below, channels).movedim(-1, 1)
        filters = weight.reshape(units, channels, *self.size)
        z = torch.nn.functional.conv2d(images, filters, None, self.stride, self.padding)
        return z.movedim(1, -1).reshape(1, -1, units)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        return self._windows(inputs[0]), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        return (self._folded(error),)


class AveragePool(Windows):
    """The mean of each channel over each window."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`."""
        windows = self._windows(inputs[0])
        shape = (*windows.shape[:2], inputs[0].shape[-1], -1)
        return windows.view(shape).mean(-1), None

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        count = math.prod(self.size)
        each = (error / count).unsqueeze(-1).expand(*error.shape, count)
        return (self._folded(each.flatten(2)),)


class MaxPool(Windows):
    """The largest of each channel in each window; of equals the first has the error."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """See `Map.forward`; what is kept is the place of the largest, ``[R, K, H' W', C]``."""
        import torch

        replicas, _, channels = inputs[0].shape
        images = inputs[0].reshape(-1, *self.below, channels).movedim(-1, 1)
        largest, which = torch.nn.functional.max_pool2d(
            images, self.size, self.stride, return_indices=True
        )
        pooled = largest.flatten(2).mT.reshape(replicas, -1, channels)
        return pooled, which.flatten(2).mT.reshape(replicas, -1, math.prod(self.grid), channels)

    def along(self, changes: Sequence[Tensor], kept: Any) -> Tensor:
        """See `Map.along`."""
        change = changes[0]
        which = _for_each(kept, len(change))
        places = change.reshape(len(change), -1, math.prod(self.below), change.shape[-1])
        return places.gather(2, which).flatten(1, 2)

    def backward(self, error: Any, kept: Any) -> tuple[Any, ...]:
        """See `Map.backward`."""
        replicas, _, channels = error.shape
        which = _for_each(kept, replicas)
        places = error.new_zeros(*which.shape[:2], math.prod(self.below), channels)
        return (places.scatter_add(2, which, error.reshape(which.shape)).flatten(1, 2),)


def _for_each(kept: Tensor, count: int) -> Tensor:
    """Return what is kept of R networks for their tangents too, several times R."""
    return kept if len(kept) == count else kept.repeat(count // len(kept), 1, 1, 1)
