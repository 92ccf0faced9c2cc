"""One step of learning, from one snapshot: forward, error propagation, local update.

This is the reference: PyTorch operation by operation, for every network and every rule. The other
backends write the same step again for speed or for derivatives, and are tested against it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.backends.eager.matrix_sum import MatrixSum
from plastic_core.backends.eager.traced_factors import trace_factors
from plastic_core.base.errors import PlasticError, TrainingError, describe_exception
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.network import Space, make_network
from plastic_core.networks.parameters import Parameters, add_states, state_view, write_state


class Engine:
    r"""The step :math:`W \leftarrow W + \sum_r \theta_r\, \Delta W_r`, over replicas.

    All increments of a step are computed from one snapshot of the parameters, then summed in
    the order of the expression. Over the events of an update, factors are averaged over the
    mini-batch and summed over time.

    Args:
        spec: the network.
        hooks: from `plastic_core.hooks.hooks.resolve_hooks`.
        thetas: for each rule its theta, a tensor ``[R]`` or a number.
        parameters: changed in place by `step`; states that they lack are added.
        loss: None for the installed one that the spec names.

    Raises:
        PlasticError: the rules need feedback matrices, and the parameters have none.
    """

    def __init__(
        self,
        spec: AnyNetwork,
        hooks: Hooks,
        thetas: Mapping[str, Tensor | float],
        parameters: Parameters,
        loss: Loss | None = None,
    ) -> None:
        if hooks.feedback is not None and not parameters.feedback:
            raise PlasticError(
                "the rules need feedback matrices, and the parameters have none; make them by "
                "initial_parameters(network, seeds, hooks.feedback)"
            )
        add_states(parameters, hooks)
        self.network = make_network(spec, hooks, parameters, loss)
        self.parameters = parameters
        like = parameters.weights[0]
        shape = (parameters.replicas, 1, 1)
        columns = {
            name: torch.as_tensor(theta, dtype=like.dtype, device=like.device)
            .reshape(-1, 1, 1)
            .expand(shape)
            for name, theta in thetas.items()
        }
        self._plasticity = [
            _Plasticity(projection, hooks, columns, parameters) for projection in range(spec.depth)
        ]

    def step(self, x: Tensor, target: Tensor) -> Tensor:
        """Learn from one mini-batch in each replica.

        Args:
            x: ``[R, K, n_0]``, the inputs.
            target: ``[R, K, n_L]``; one-hot for classes.

        Returns:
            The outputs y_L before the update, ``[R, K, n_L]``; the next step
            overwrites them.
        """
        outputs = None
        for space in self.network.signals(x, target):
            if outputs is None:
                outputs = space.signals.post
            self._plasticity[space.projection].update(space)
        assert outputs is not None
        return outputs

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return the activities y_0 .. y_L of one replica, ``[1, N, n_l]``, for ``[1, N, n_0]``."""
        return self.network.activities(x, replica)


class _Plasticity:
    """All that changes the matrices of one projection."""

    def __init__(
        self, projection: int, hooks: Hooks, thetas: dict[str, Tensor], parameters: Parameters
    ) -> None:
        here = tuple(rule for rule in hooks.local if projection in rule.layers)
        tensors = {"forward": parameters.weights, "feedback": parameters.feedback}
        self._sums: dict[str, MatrixSum] = {}
        for matrix in sorted({matrix for rule in here for matrix in rule.spec.modifies}):
            transforms = []
            for owner, transform, function in hooks.transforms:
                key = f"{owner}.{matrix}"
                states = state_view(
                    key, projection, transform.spec.state, parameters.state.__getitem__
                )
                transforms.append((function, states))
            self._sums[matrix] = MatrixSum(tensors[matrix][projection], thetas, transforms)
        self._totals = list(self._sums.values())
        view = parameters.state.__getitem__
        self._rules = [
            (rule, state_view(rule.name, projection, rule.spec.state, view)) for rule in here
        ]
        self._traced = None if hooks.transforms else trace_factors(here)

    def update(self, space: Space) -> None:
        """Let every rule compute its increment, then add them all."""
        if self._traced is not None:
            self._totals[0].apply_traced(self._traced, space)
            return
        s = space.signals
        new_states = []
        for rule, states in self._rules:
            s.state = states
            updates, new = rule.update(s)
            if states is not None:
                # copied, because it may be a view of what is about to change
                new_states.append((states, {key: value.clone() for key, value in new.items()}))
            try:
                for matrix, update in updates.items():
                    self._sums[matrix].collect(rule.name, update)
            except Exception as error:
                raise _unfit(rule.name, s.layer, error) from error
        try:
            for total in self._totals:
                total.apply(space)
        except TrainingError:
            raise
        except Exception as error:
            names = " and ".join(rule.name for rule, _ in self._rules)
            raise _unfit(names, s.layer, error) from error
        for states, new in new_states:
            write_state(states, new)


def _unfit(rules: str, layer: int, error: Exception) -> TrainingError:
    return TrainingError(
        f"what {rules} returned in layer {layer} cannot be added to the matrices: "
        f"{describe_exception(error)}"
    )
