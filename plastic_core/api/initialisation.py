"""The base class of initialisations: the weights before training.

This module loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

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


class Initialisation(ABC):
    """Base of initialisations: a `spec`, and how a matrix is drawn. It has no state."""

    spec: ClassVar[InitialisationSpec]

    @abstractmethod
    def draw(self, n_post: int, n_pre: int, std: float, source: Generator) -> Tensor:
        """Return the weights of one matrix, ``[n_post, n_pre]`` float64.

        Args:
            n_post: units that the matrix leads to, its rows.
            n_pre: units that it comes from, its columns.
            std: ``init_std`` of the network, which most initialisations leave aside.
            source: what random numbers are drawn from, and nothing else, so that a seed decides
                them.
        """
