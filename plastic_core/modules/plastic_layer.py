"""A layer of a user's model whose weights learn by rules: what an update sees of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from plastic_core.modules.lazy_events import LazyEvents, Term

Layer = nn.Linear | nn.Conv1d | nn.Conv2d

#: Why a layer cannot be taken yet.
UNSHAPED: Final = "its shape is not known before the model was called once"


class PlasticLayer:
    """A linear or convolutional layer, with an event for each sample and place.

    Of a convolution pre is the patch that one place reads, and post its channels.

    Args:
        name: in the model.
        module: the layer.

    Attributes:
        name, module: as given.
        places: of its output in the last call, such as rows and columns; () for a single one.
        post: what z becomes the activity by, and what that is called; None while it is not known.
        is_output: whether the model returns z.
    """

    def __init__(self, name: str, module: Layer) -> None:
        self.name, self.module = name, module
        self.places: tuple[int, ...] = ()
        self.post: tuple[str, Callable[[Tensor], Tensor]] | None = None
        self.is_output = False
        self._learned = [one for one in module.parameters(recurse=False) if one.requires_grad]
        self._addresses = [one.data_ptr() for one in self._learned]

    @staticmethod
    def fault(module: nn.Module) -> str | None:
        """Return why a module cannot be taken, or None where it can."""
        if not isinstance(module, Layer):
            return "no linear or convolutional layer"
        if type(module).forward not in (nn.Linear.forward, nn.Conv1d.forward, nn.Conv2d.forward):
            return f"{type(module).__name__} has a forward pass of its own"
        weight = module._parameters.get("weight")
        if weight is None:
            return "its weights are made of others, as those that are pruned or normalised"
        if isinstance(weight, nn.UninitializedParameter):
            return UNSHAPED
        if not weight.requires_grad:
            return "it is frozen (requires_grad=False)"
        if not weight.is_contiguous():
            return "its weights do not lie row by row, as with channels_last"
        if module._forward_hooks:
            return "it has forward hooks, which may change what it gives"
        if not isinstance(module, nn.Linear):
            if module.groups != 1:
                return f"groups={module.groups}, whose weights are no single matrix"
            if module.padding_mode != "zeros" or module.padding == "same":
                return f"padding {module.padding!r} of {module.padding_mode!r}; write numbers"
        if module.weight.dtype not in (torch.float32, torch.float64):
            return f"weights of {module.weight.dtype}; write float32 or float64"
        return None

    @property
    def moved(self) -> bool:
        """Whether what it learns lies elsewhere than it did."""
        return [one.data_ptr() for one in self._learned] != self._addresses

    @property
    def weight(self) -> Tensor:
        """W, ``[1, n_post, n_pre]``, a view of the layer's own."""
        return self.module.weight.detach().view(1, self.module.weight.shape[0], -1)

    @property
    def bias(self) -> Tensor | None:
        """The bias, ``[1, n_post, 1]``, a view of the layer's own; None where it is frozen."""
        bias = self.module.bias
        learned = any(one is bias for one in self._learned)
        return bias.detach().view(1, -1, 1) if bias is not None and learned else None

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the rules change."""
        return self._learned

    def samples(self, x: Tensor) -> int:
        """Return the size of the mini-batch that it was called with."""
        single = x.dim() == 1 or (not isinstance(self.module, nn.Linear) and x.dim() < self._dims)
        return 1 if single else len(x)

    def pre(self, x: Tensor) -> Tensor:
        """Return what it was called with by event, ``[1, K, n_pre]``."""
        if isinstance(self.module, nn.Linear):
            return x.reshape(1, -1, x.shape[-1])
        window = self._window
        if len(images := self._images(x)) == 1:  # a view, which nothing has to copy
            return nn.functional.unfold(images, **window).mT
        (rows, columns), (above, left) = window["kernel_size"], window["padding"]
        images = nn.functional.pad(images, (left, left, above, above))
        for axis, size in ((2, rows), (3, columns)):
            step, gap = window["stride"][axis - 2], window["dilation"][axis - 2]
            images = images.unfold(axis, (size - 1) * gap + 1, step)[..., ::gap]
        # at once in the order of events; nn.functional.unfold has places last, to be copied again
        return images.permute(0, 2, 3, 1, 4, 5).reshape(1, -1, self.weight.shape[2])

    def pre_of(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the same, of a convolution without making the patches before they are needed."""
        if isinstance(self.module, nn.Linear):
            return self.pre(x)
        images = self._images(x)
        if len(images) == 1:  # whose patches are few, and soon made
            return self.pre(x)
        rows = z.shape[-2] if self._dims == 4 else 1

        def outer(left: Tensor) -> Tensor:
            places = left.view(len(images), rows, -1, left.shape[-1])
            _, gradient, _ = self._convolution_back(places.permute(0, 3, 1, 2), images, 1)
            return gradient.reshape(1, left.shape[-1], -1)

        size = (1, z.numel() // self.weight.shape[1], self.weight.shape[2])
        return LazyEvents([(1.0, Term(lambda: self.pre(x), outer))], size, z)

    def by_event(self, z: Tensor) -> Tensor:
        """Return what has the shape of its output by event, ``[1, K, n_post]``."""
        if isinstance(self.module, nn.Linear):
            return z.reshape(1, -1, z.shape[-1])
        channels = z.dim() - self._dims + 1
        return z.movedim(channels, -1).reshape(1, -1, z.shape[channels])

    def back(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Return W' of an error, which has the shape of its output, as PyTorch computes it."""
        if isinstance(self.module, nn.Linear):
            return torch.matmul(gradient, self.module.weight.detach())
        images = self._images(x)
        error = gradient.view(len(images), self.weight.shape[1], -1, gradient.shape[-1])
        back, _, _ = self._convolution_back(error, images, 0)
        return back.view(x.shape)

    def _convolution_back(
        self, error: Tensor, images: Tensor, of: Literal[0, 1]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what PyTorch sends back through a convolution, of which one is computed.

        Args:
            error: of what it gives, ``[N, C, H, W]``.
            images: that it was given.
            of: 0 for the images, 1 for the weights.
        """
        weight, window = self.module.weight.detach(), self._window
        made: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
            error,
            images,
            weight if self._dims == 4 else weight.unsqueeze(2),
            None,
            window["stride"],
            window["padding"],
            window["dilation"],
            False,
            (0, 0),
            1,
            (of == 0, of == 1, False),
        )
        return made

    def to_input(self, error: Tensor, x: Tensor) -> Tensor:
        """Return an error by event, ``[1, K, n_pre]``, where the input has it."""
        if isinstance(self.module, nn.Linear):
            return error.view(x.shape)
        images = self._images(x)
        patches = error.view(len(images), -1, error.shape[-1]).mT
        return nn.functional.fold(patches, images.shape[2:], **self._window).view(x.shape)

    def places_of(self, z: Tensor) -> tuple[int, ...]:
        """Return the places of an output, such as rows and columns; () for a single one."""
        if isinstance(self.module, nn.Linear):
            return tuple(z.shape[1:-1])
        return tuple(z.shape[2 - self._dims :])

    @property
    def _dims(self) -> int:
        """Dimensions of a mini-batch: 3 of sequences, 4 of images."""
        return self.module.weight.dim()

    def _images(self, x: Tensor) -> Tensor:
        """Return the input as ``[N, C, H, W]``; of one dimension, in a single row."""
        images = x if x.dim() == self._dims else x[None]
        return images if self._dims == 4 else images.unsqueeze(2)

    @cached_property
    def _window(self) -> dict[str, Any]:
        """Sizes of a convolution by rows and columns, as PyTorch calls them."""
        module: Any = self.module

        def both(value: Any, of_row: int) -> tuple[int, int]:
            value = (0, 0) if value == "valid" else value
            return value if len(value) == 2 else (of_row, *value)

        padding = (0,) * (self._dims - 2) if module.padding == "valid" else module.padding
        return {
            "kernel_size": both(module.kernel_size, 1),
            "dilation": both(module.dilation, 1),
            "padding": both(padding, 0),
            "stride": both(module.stride, 1),
        }
