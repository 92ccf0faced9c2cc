"""Puts a circuit together, projection by projection and map by map.

This module loads no torch.
"""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from plastic_core.api.circuit import Apply, Circuit, Matrix, Node, Send
from plastic_core.api.connections import drawn_mask
from plastic_core.api.image_maps import Flatten, Places
from plastic_core.api.initialisation import MatrixShape
from plastic_core.api.layered_spec import LayeredSpec
from plastic_core.api.maps import Activate, Add, Constant, Guarded, Map, Output
from plastic_core.base.errors import PlasticError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from plastic_core.api.network_spec import NetworkSpec, PartKind


class CircuitBuilder:
    """A feed-forward network that is being put together.

    Args:
        spec: of the network; what a layer leaves open, such as its activation function, is that
            of the network.
        inputs: units of the input.
        find: gives the class of a plugin, by kind and name.

    Attributes:
        spec: as given.
        input: the population that the first layer reads.
    """

    def __init__(
        self,
        spec: NetworkSpec | LayeredSpec,
        inputs: int,
        find: Callable[[PartKind, str], type[Any]],
    ) -> None:
        self.spec, self.input, self._find = spec, Node("y0"), find
        self._units, self._grids = {"y0": inputs}, dict[str, tuple[int, ...]]()
        self._operations: list[Send | Apply] = []
        self._matrices: list[Matrix] = []
        self._biases: list[tuple[int, Matrix]] = []  # and the layer of each
        self._ones: dict[tuple[int, ...], Node] = {}
        self._made: Counter[str] = Counter()
        self._begun: Counter[str] = Counter()
        self._names: list[str] = []
        self._layer_names: list[str] = []
        self._activations: dict[str, Activate] = {}

    def begin(self, kind: str) -> None:
        """Begin a layer, whose projections are named after its kind, such as "conv1"."""
        self._begun[kind] += 1
        self._names.append(f"{kind}{self._begun[kind]}")

    def units(self, node: Node) -> int:
        """Return the number of units of a population, at one place.

        Raises:
            PlasticError: it is none of this network.
        """
        self._check(node)
        return self._units[node.series]

    def grid(self, node: Node) -> tuple[int, ...]:
        """Return how the places of a population lie: rows and columns, tokens, or () for one.

        Raises:
            PlasticError: it is none of this network.
        """
        self._check(node)
        return self._grids.get(node.series, ())

    def _check(self, node: Node) -> None:
        if not (isinstance(node, Node) and self.has(node)):
            raise PlasticError(f"{node!r} is no population of this network; give one that it made")

    def has(self, node: Node) -> bool:
        """Return whether it is a population of this network."""
        return node.series in self._units

    def project(
        self,
        pre: Node,
        units: int,
        init: str | None = None,
        bias: bool | None = None,
        mask: NDArray[np.bool_] | None = None,
        fan_out: int | None = None,
        name: str = "",
    ) -> Node:
        """Return z = W pre [+ b], a projection of which all rules can learn.

        Where the population has several places, all of them share W and b.

        Args:
            pre: what is sent.
            units: of z.
            init: name of the initialisation of W; None for that of the network.
            bias: whether there are biases; None for what the network says.
            mask: ``[units, n_pre]``, the connections that there are: all others stay 0, whatever
                learns. None for all of them. Initialisations are told as many connections of a
                unit as there are in the mean.
            fan_out: weights through which a unit sends; None for as many as there are units.
            name: of the projection, where the layer has several.

        Raises:
            PlasticError: there is no such initialisation, or the mask has another shape.
        """
        if bias not in (None, True, False):
            raise PlasticError(f"bias = {bias!r}: expected True, False, or None for the network's")
        shape = _whole(units), self.units(pre)
        if mask is not None and getattr(mask, "dtype", None) != "bool":
            raise PlasticError(
                f"mask of {type(mask).__name__}: expected a NumPy array of truth values, {shape}"
            )
        if mask is not None and mask.shape != shape:
            raise PlasticError(f"mask of shape {mask.shape}: expected {shape}, n_post and n_pre")
        units = shape[0]
        self._matrices.append(self._matrix(pre, units, init or self.spec.init, mask, fan_out))
        layer = len(self._matrices)
        self._layer_names.append(f"{self._names[-1]}.{name}" if name else self._names[-1])
        z = self._send(layer - 1, pre, f"z{layer}", units)
        if not (self.spec.bias if bias is None else bias):
            return z
        one = self._ones.get(self.grid(z))
        if one is None:
            beside = pre if self.grid(pre) else self.input
            one = self._ones[self.grid(z)] = self.apply(Constant(), beside, units=1)
        self._biases.append((layer, self._matrix(one, units, "zeros", None, None)))
        # counted from -1 down until it is known how many layers there are
        b = self._send(-len(self._biases), one, f"b{layer}", units)
        return self.apply(Add(), z, b)

    def some_connections(
        self, pre: Node, units: int, fraction: float | None
    ) -> NDArray[np.bool_] | None:
        """Return a mask for the next projection, drawn once for all networks.

        It depends on the number of projections before alone: not on the seed.

        Args:
            pre: what is sent.
            units: of z, each of which has ``round(fraction * n_pre)`` inputs, and at least 1.
            fraction: of the connections that there are, above 0 and at most 1; None for all.

        Returns:
            ``[units, n_pre]``, or None where there are all connections.

        Raises:
            PlasticError: the fraction is none.
        """
        if fraction is None:
            return None
        return drawn_mask(_whole(units), self.units(pre), fraction, len(self._matrices))

    def apply(
        self,
        function: Map,
        *inputs: Node,
        units: int | None = None,
        grid: tuple[int, ...] | None = None,
    ) -> Node:
        """Return what a map makes of populations.

        Args:
            function: the map.
            inputs: what it reads.
            units: of its output; None for those of the first input.
            grid: how the places of its output lie; None for as those of the first input do.
        """
        if not (isinstance(function, Map) and inputs):
            raise PlasticError(
                f"apply({function!r}): expected an instance of a Map, and populations"
            )
        sizes = [self.units(node) for node in inputs]
        size = sizes[0] if units is None else _whole(units)
        places = self.grid(inputs[0]) if grid is None else tuple(map(_whole, grid))
        kind = type(function).__name__.lower()
        if not type(function).__module__.startswith(f"{__package__}."):
            both = math.prod(self.grid(inputs[0])), math.prod(places)
            function = Guarded(function, size, both, len(inputs))
        self._made[kind] += 1
        output = Node(f"{kind}{self._made[kind]}")
        self._units[output.series], self._grids[output.series] = size, places
        self._operations.append(Apply(function, inputs, output))
        return output

    def image(self, x: Node) -> Node:
        """Return a population in rows and columns: as it is, or the input so.

        Raises:
            PlasticError: it has none.
        """
        if len(self.grid(x)) == 2:
            return x
        image = self.spec.image if isinstance(self.spec, LayeredSpec) else None
        if x != self.input or image is None:
            has = "the input has" if x == self.input else "the layer below has"
            raise PlasticError(
                f"it reads rows and columns, and {has} none; start from images, such as those of "
                "the task mnist-cnn or an array [N, rows, columns], and put dense layers last"
            )
        channels, *grid = image
        return self.apply(Places(channels, tuple(grid)), x, units=channels, grid=tuple(grid))

    def flat(self, x: Node) -> Node:
        """Return a population at one place: as it is, or all of its places together."""
        grid = self.grid(x)
        if not grid:
            return x
        return self.apply(Flatten(grid), x, units=self.units(x) * math.prod(grid), grid=())

    def activate(self, z: Node, activation: str | None = None) -> Node:
        r"""Return :math:`\sigma(z)`.

        Args:
            z: what is activated.
            activation: name of the function; None for that of the network.

        Raises:
            PlasticError: there is none of that name.
        """
        name = activation or self.spec.activation
        if name not in self._activations:
            self._activations[name] = Activate(self._find("activation", name)())
        return self.apply(self._activations[name], z)

    def finish(self, outputs: int, populations: list[Node]) -> Circuit:
        """Return the network, its readout added.

        Args:
            outputs: units of the output.
            populations: the input and what each layer returned.
        """
        if len(grid := self.grid(populations[-1])) == 1:
            raise PlasticError(
                f"the readout reads one population, and below it are {grid[0]} tokens; let the "
                "last layer be 'mean', their mean, or 'flatten', all of them"
            )
        flat = self.flat(populations[-1])
        self._names.append("readout")
        z = self.project(flat, outputs)
        self._check_read(z)
        y = self.apply(Output(self._find("loss", self.spec.loss)()), z)
        depth = len(self._matrices)
        operations = tuple(
            replace(o, projection=depth - 1 - o.projection)
            if isinstance(o, Send) and o.projection < 0
            else o
            for o in self._operations
        )
        name = self.spec.activation
        gate = self._activations.get(name) or Activate(self._find("activation", name)())
        return Circuit(
            operations=operations,
            units=self._units,
            grids=self._grids,
            populations=(*populations, y),
            names=tuple(self._names),
            layer_names=tuple(self._layer_names),
            given={},
            matrices=(*self._matrices, *(matrix for _, matrix in self._biases)),
            biased=tuple(layer for layer, _ in self._biases),
            gradient_only=frozenset(),
            input_activation=gate,
            spec=self.spec,
        )

    def _check_read(self, last: Node) -> None:
        """Check that something reads what each projection gives.

        Raises:
            PlasticError: nothing does, so that it could not learn.
        """
        read = {last}
        for one in self._operations:
            read.update((one.pre,) if isinstance(one, Send) else one.inputs)
        for one in self._operations:
            if isinstance(one, Send) and one.z not in read:
                raise PlasticError(
                    f"a projection to {self.units(one.z)} units is read by nothing; let build() "
                    "return what is made of it, or leave it out"
                )

    def _matrix(self, pre: Node, n_post: int, init: str, mask: Any, fan_out: int | None) -> Matrix:
        made, n_pre = self._find("initialisation", init)(), self.units(pre)
        kept = 1.0 if mask is None else float(mask.mean())
        fans = (max(1, round(kept * n)) for n in (n_pre, fan_out or n_post))
        return Matrix(MatrixShape(n_post, n_pre, *fans), made, self.spec.init_std, mask)

    def _send(self, projection: int, pre: Node, name: str, units: int) -> Node:
        self._units[name], self._grids[name] = units, self.grid(pre)
        self._operations.append(Send(projection, pre, Node(name)))
        return Node(name)


def _whole(units: Any) -> int:
    """Return a number of units.

    Raises:
        PlasticError: it is none.
    """
    if isinstance(units, bool) or not isinstance(units, numbers.Integral) or units < 1:
        raise PlasticError(f"units = {units!r}: expected a whole number of at least 1")
    return int(units)
