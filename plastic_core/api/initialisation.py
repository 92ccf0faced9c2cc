"""The base class of initialisations: the weights before training.

This module loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from plastic_core.api.specs import API_VERSION, Name, Text
from plastic_core.base.spec import Spec

if TYPE_CHECKING:
    from torch import Generator, Tensor


class InitialisationSpec(Spec):
    """What an initialisation is.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        equation: what a weight is drawn from, in LaTeX.
        reference: its source.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    equation: Text
    reference: Text
    api: int = API_VERSION


class MatrixShape(NamedTuple):
    """The shape of a matrix, and how many of its weights a unit has.

    Attributes:
        n_post: units that the matrix leads to, its rows.
        n_pre: units that it comes from, its columns.
        fan_in: weights through which a unit receives: n_pre, or where a mask leaves out
            connections, as many as there are in the mean.
        fan_out: weights through which a unit sends: n_post, or in a convolution n_post times the
            number of patches that an inner unit is part of at a stride of 1.
    """

    n_post: int
    n_pre: int
    fan_in: int
    fan_out: int

    @property
    def backwards(self) -> MatrixShape:
        """That of the transposed matrix."""
        return MatrixShape(self.n_pre, self.n_post, self.fan_out, self.fan_in)


class Initialisation(ABC):
    """Base of initialisations: a `spec`, and how a matrix is drawn. It has no state."""

    spec: ClassVar[InitialisationSpec]

    @abstractmethod
    def draw(self, shape: MatrixShape, std: float, source: Generator) -> Tensor:
        """Return the weights of one matrix, ``[n_post, n_pre]`` float64.

        Args:
            shape: of the matrix.
            std: ``init_std`` of the network, which most initialisations leave aside.
            source: what random numbers are drawn from, and nothing else, so that a seed decides
                them.
        """
