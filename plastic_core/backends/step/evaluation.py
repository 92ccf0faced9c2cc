"""What networks answer: the forward part alone, of one network at many points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.api.activation import Activation
from plastic_core.api.circuit import Apply, Circuit, Node, Send
from plastic_core.api.image_maps import Patches
from plastic_core.api.maps import Activate
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.signals import Signals
from plastic_core.api.specs import Settle
from plastic_core.backends.step.blank_signals import blank_signals
from plastic_core.backends.step.functional import Nodes, go_forward
from plastic_core.backends.step.settling import Settling
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import Own
from plastic_core.networks.parameters import Parameters

# Numbers that a population has at once; they stay in the cache.
_LARGEST: Final = 2**18

_ALL: Final = 2**62


class Evaluation:
    """Evaluates networks as they are.

    Args:
        network: the network.
        hooks: the resolved hooks.
        parameters: of all replicas; read, never written.
        activate: gives what an activation function makes of z; by default its own method does.
    """

    def __init__(
        self,
        network: AnyNetwork | Circuit,
        hooks: Hooks,
        parameters: Parameters,
        activate: Callable[[Activation, Tensor], Tensor] | None = None,
    ) -> None:
        self._circuit, self._parameters = circuit_of(network), parameters
        self._hooks, self._activate = hooks, activate
        self._convolutions = self._without_patches()
        unmade = {send.pre for send in self._convolutions}
        sizes = (
            self._circuit.places(node) * self._circuit.units[node.series]
            for node in self._circuit.maker
            if node not in unmade
        )
        # where weights are shared the activity of all points would take gigabytes
        self._tile = max(1, _LARGEST // max(sizes)) if self._circuit.shared else _ALL

    def _without_patches(self) -> dict[Send, Patches]:
        """Return what is sent of patches that nothing else reads, with what would make them.

        The patches of an image take many times its memory, and copying them most of the time.
        """
        if self._parameters.weights[0].device.type != "cpu":
            return {}  # elsewhere a convolution rounds more coarsely
        found = {}
        applied = Counter(o.map for o in self._circuit.operations if isinstance(o, Apply))
        for send in (one for sends in self._circuit.sends for one in sends):
            made, readers = self._circuit.maker.get(send.pre), self._circuit.readers[send.pre]
            patches = made.map if isinstance(made, Apply) else None
            plain = len(readers) == 1 and not any(
                send.projection in layers for _, layers, _ in self._hooks.forward
            )
            if plain and isinstance(patches, Patches) and applied[patches] == 1:
                found[send] = patches
        return found

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return the activities of one replica from the input to the output, ``[1, N, n]`` each.

        Of a recurrent network those of the last step.

        Args:
            x: ``[1, N, n_0]``.
            replica: which one.
        """
        if self._hooks.settle is not None:
            return self._settled(x, replica, self._hooks.settle)
        tiles = [
            self.nodes(tile, replica, self._circuit.populations)
            for tile in torch.split(x, self._tile, 1)
        ]
        return [
            tiles[0][node] if len(tiles) == 1 else torch.cat([tile[node] for tile in tiles], 1)
            for node in self._circuit.populations
        ]

    def _settled(self, x: Tensor, replica: int, settle: Settle) -> list[Tensor]:
        """Return the activities where the first phase ended."""
        own, blank = self._of_replica(replica, x.shape[1])
        settling = Settling(self._circuit, self._hooks, own, blank)
        settling.run(x, None, settle.phases[:1])
        return settling.activities

    def _of_replica(self, replica: int, batch: int) -> tuple[Own, Callable[[int], Signals]]:
        """Return what belongs to rules in one replica, and what makes signals of a projection."""
        one = self._parameters.slice(replica, replica + 1)

        def blank(p: int) -> Signals:
            return blank_signals(self._circuit, one, p, batch, learning=False)

        return Own(self._circuit, one.state.__getitem__, None), blank

    def nodes(self, x: Tensor, replica: int, wanted: Collection[Node] | None = None) -> Nodes:
        """Return nodes of the circuit, all where none are named.

        The other arguments are those of `activities`.
        """
        convolutions = {
            send: patches
            for send, patches in self._convolutions.items()
            if wanted is not None and send.pre not in wanted
        }
        unmade = {*convolutions.values()}
        own, blank = self._of_replica(replica, x.shape[1])

        def send(operation: Send, pre: Any) -> Any:
            weight = self._parameters.weights[operation.projection][replica : replica + 1]
            if operation in convolutions:
                return convolutions[operation].convolved(pre, weight[0])
            forward, z = self._hooks.forward_of(operation, own), None
            if forward is not None:
                s = blank(operation.projection)
                s.pre = pre
                z = forward(s)
            if z is not None:
                return z
            # W y' is faster than y W', and what comes of it lies as the next one wants it
            return torch.bmm(weight, pre.mT).mT

        def apply(function: Any, inputs: Any) -> Any:
            if function in unmade:
                return inputs[0], None
            if isinstance(function, Activate) and self._activate is not None:
                return self._activate(function.activation, *inputs), None
            return function.forward(*inputs)[0], None  # nothing goes back

        return go_forward(self._circuit, x, send, apply, wanted)[0]
