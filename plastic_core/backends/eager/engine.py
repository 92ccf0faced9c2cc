"""One step of learning, from one snapshot: forward, error propagation, local update.

This is the reference: PyTorch operation by operation, for every network and every rule. What a
step consists of is described once, in `plastic_core.backends.step`; here it is bound to buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.signals import Signals
from plastic_core.backends.eager.bound_update import BoundUpdate, bound_update
from plastic_core.backends.eager.matrix_learning import MatrixLearning
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.base.errors import PlasticError
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.masks import masks_of
from plastic_core.networks.noise import count_updates
from plastic_core.networks.parameters import Parameters, add_states, add_thetas


class Engine:
    r"""The step :math:`W \leftarrow W + \sum_r \theta_r\, \Delta W_r`, over replicas.

    All increments of a step are computed from one snapshot of the parameters, then summed in
    the order of the expression. Over the events of an update, factors are averaged over the
    mini-batch and summed over time.

    Args:
        network: the network.
        hooks: from `plastic_core.hooks.hooks.resolve_hooks`.
        thetas: for each rule its theta, a tensor ``[R]`` or a number.
        parameters: changed in place by `step`; states that they lack are added.
        factors: by theta that changes over the run, what it is multiplied by at each update.

    Raises:
        PlasticError: the rules need feedback matrices, and the parameters have none.
    """

    def __init__(
        self,
        network: AnyNetwork | Circuit,
        hooks: Hooks,
        thetas: Mapping[str, Tensor | float],
        parameters: Parameters,
        factors: Mapping[str, Tensor] | None = None,
    ) -> None:
        if hooks.feedback is not None and not parameters.feedback:
            raise PlasticError(
                "the rules need feedback matrices, and the parameters have none; make them by "
                "initial_parameters(network, seeds, hooks.feedback)"
            )
        add_states(parameters, hooks)
        add_thetas(parameters, hooks, thetas)
        self.parameters = parameters
        circuit = circuit_of(network)
        self._circuit, self._hooks = circuit, hooks
        self._evaluation = Evaluation(network, hooks, parameters)
        # by number of samples
        self._bound: dict[int, tuple[BoundUpdate, list[Callable[[], Any]]]] = {}
        like = parameters.weights[0]
        shape = (parameters.replicas, 1, 1)
        columns = {
            name: torch.as_tensor(theta, dtype=like.dtype, device=like.device)
            .reshape(-1, 1, 1)
            .expand(shape)
            for name, theta in thetas.items()
        }
        self._factors = {name: of_each.tolist() for name, of_each in (factors or {}).items()}
        self._initial = {name: columns[name] for name in self._factors}
        self._thetas = columns | {name: columns[name].clone() for name in self._factors}
        masks = masks_of(circuit, hooks.feedback, like.device)
        self._plasticity = [
            MatrixLearning(projection, hooks, self._thetas, parameters, masks)
            for projection in range(len(parameters.weights))
        ]

    def step(self, x: Tensor, target: Tensor, update: int = 0) -> Tensor:
        """Learn from one mini-batch in each replica.

        Args:
            x: ``[R, K, n_0]``, the inputs.
            target: ``[R, K, n_L]``.
            update: its number in the run, counted from 0, where thetas change.

        Returns:
            The outputs y_L before the update, ``[R, K, n_L]``; the next step overwrites them.
        """
        if self._factors:
            self._set_thetas(update)
        bound, functions = self._bound_to(x.shape[1])
        bound.show(x, target)
        for function in functions:
            function()
        count_updates(self.parameters.state)
        return bound.output

    def _set_thetas(self, update: int) -> None:
        for name, factors in self._factors.items():
            torch.mul(self._initial[name], factors[update], out=self._thetas[name])
        add_thetas(self.parameters, self._hooks, self._thetas)
        for plasticity in self._plasticity:
            plasticity.rescale(self._factors)

    def signals(self, x: Tensor, target: Tensor) -> Sequence[Signals]:
        """Return what the rules of each projection may read, and learn nothing.

        The arguments are those of `step`, the next of which overwrites them.
        """
        bound, _ = self._bound_to(x.shape[1])
        bound.show(x, target)
        for function in bound.functions():
            function()
        return bound.signals

    def _bound_to(self, samples: int) -> tuple[BoundUpdate, list[Callable[[], Any]]]:
        """Return the step for a number of samples, and all that is done in it."""
        if samples not in self._bound:
            bound = bound_update(self._circuit, self._hooks, self.parameters, samples)
            pairs = zip(self._plasticity, bound.signals, strict=True)
            learn = [partial(plasticity.update, bound.own, s) for plasticity, s in pairs]
            self._bound[samples] = bound, bound.functions(learn)
        return self._bound[samples]

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return the activities y_0 .. y_L of one replica, ``[1, N, n_l]``, for ``[1, N, n_0]``."""
        return self._evaluation.activities(x, replica)
