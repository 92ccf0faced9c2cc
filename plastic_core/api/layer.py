"""The base class of layers, and what they put a network together with.

This module loads no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from pydantic import BaseModel

from plastic_core.api.circuit import Node
from plastic_core.api.circuit_builder import CircuitBuilder
from plastic_core.api.specs import API_VERSION, Name, Text
from plastic_core.base.spec import Spec


class LayerSpec(Spec):
    """What a layer is.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        reference: its source.
        options: a pydantic model class. In the text of a network the fields without a default are
            written in their order, any other as its name and its value.
        example: one layer as such a text, such as "dense 20 bias"; or several with it among them,
            such as "tokens 2x2 6 / mean". The checks build them on a small image.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    reference: Text
    options: type[BaseModel]
    example: Text
    api: int = API_VERSION


class Layer(ABC):
    """Base of layers: a part of a network between one population and the next.

    It is made without arguments, and finds its options in ``self.options``.
    """

    spec: ClassVar[LayerSpec]
    options: Any

    @abstractmethod
    def build(self, net: CircuitBuilder, x: Node) -> Node:
        """Add projections and maps to a network, and return the population that the next reads.

        Args:
            net: the network so far.
            x: the population that the layer reads.

        Raises:
            PlasticError: the layer does not fit there.
        """
