"""One step of learning, from one snapshot: forward, error propagation, local update.

This is the only implementation of the step; every task trains through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from plastic_core.build import Hooks
from plastic_core.networks.feedforward import Feedforward, Workspace
from plastic_core.parameters import Parameters, state_key
from plastic_core.products import added_product, aligned_zeros
from plastic_core.specs import NetworkSpec, State
from plastic_core.transforming import Increment
from plastic_core.updates import Decay, Dense, Outer, Part, Update, as_update


class Engine:
    r"""The step :math:`W \leftarrow W + \sum_r \theta_r\, \Delta W_r`, over replicas.

    All increments of a step are computed from one snapshot of the parameters, then summed in
    the order of the expression. Over the events of an update, factors are averaged over the
    mini-batch and summed over time.

    Args:
        spec: the network.
        hooks: from `plastic_core.build.resolve_hooks`.
        thetas: for each rule its theta, a tensor ``[R]`` or a number.
        parameters: changed in place by `step`.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        hooks: Hooks,
        thetas: Mapping[str, Tensor | float],
        parameters: Parameters,
    ) -> None:
        self.network = Feedforward(spec, hooks, parameters)
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
            target: ``[R, K, n_L]``, one-hot.

        Returns:
            The outputs softmax(z_L) before the update, ``[R, K, n_L]``; the next step
            overwrites them.
        """
        outputs = None
        for projection, space in self.network.signals(x, target):
            if outputs is None:
                outputs = space.signals.post
            self._plasticity[projection].update(space)
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
        here = [rule for rule in hooks.local if projection in rule.layers]
        tensors = {"forward": parameters.weights, "feedback": parameters.feedback}
        self._sums: dict[str, _Sum] = {}
        for matrix in sorted({matrix for rule in here for matrix in rule.spec.modifies}):
            transforms = []
            for owner, transform, function in hooks.transforms:
                key = f"{owner}.{matrix}"
                states = _namespace(parameters, key, projection, transform.spec.state)
                transforms.append((function, states))
            self._sums[matrix] = _Sum(tensors[matrix][projection], thetas, transforms)
        self._totals = list(self._sums.values())
        self._rules = []
        for rule in here:
            states = _namespace(parameters, rule.name, projection, rule.spec.state)
            # a rule that modifies both matrices returns an increment for each
            only = self._sums[min(rule.spec.modifies)] if len(rule.spec.modifies) == 1 else None
            self._rules.append((rule.name, rule.function, only, states))

    def update(self, space: Workspace) -> None:
        """Let every rule compute its increment, then add them all."""
        s = space.signals
        new_states = []
        for name, function, total, states in self._rules:
            s.state = states
            update = function(s)
            if states is not None:
                update, new = update
                new_states.append((states, new))
            if total is None:
                for matrix, one in update.items():
                    self._sums[matrix].collect(name, one)
            elif type(update) is Outer:  # most updates are; this is where the time goes
                total.lefts.append(update.post)
                total.rights.append(update.pre)
                total.scales.append((name, update.scale))
            else:
                total.collect(name, update)
        for total in self._totals:
            total.apply(space)
        for states, new in new_states:
            _write_state(states, new)


class _Sum:
    """The increments of one matrix, gathered as factors and applied in one product."""

    def __init__(
        self,
        matrix: Tensor,
        thetas: dict[str, Tensor],
        transforms: Sequence[tuple[Any, SimpleNamespace | None]],
    ) -> None:
        self._matrix, self._thetas, self._transforms = matrix, thetas, transforms
        self.lefts: list[Tensor] = []
        self.rights: list[Tensor] = []
        self.scales: list[tuple[str, float]] = []
        self._others: list[tuple[str, Part]] = []
        self._joined: list[_Joined] = []

    def collect(self, rule: str, update: Update | Tensor) -> None:
        """Take up the increment of one rule."""
        for part in as_update(update).parts:
            if isinstance(part, Outer):
                self.lefts.append(part.post)
                self.rights.append(part.pre)
                self.scales.append((rule, part.scale))
            else:
                self._others.append((rule, part))

    def apply(self, space: Workspace) -> None:
        """Add what was collected, divided by the batch, to the matrix."""
        joined = self._join(space) if self.lefts else None
        if self._others or self._transforms:
            self._add_all(joined, space.signals.batch)
        elif joined is not None:
            joined.add()
        self.lefts.clear()
        self.rights.clear()
        self.scales.clear()

    def _join(self, space: Workspace) -> _Joined:
        """Write the factors side by side along their events, the left ones scaled."""
        lefts, rights = self.lefts, self.rights
        for joined in self._joined:
            if joined.batch == space.signals.batch and joined.scales == self.scales:
                break
        else:
            joined = self._new_joined(space.signals.batch)
        if len(lefts) == 2 and lefts[0] is space.pair[0] and lefts[1] is space.pair[-1]:
            left = space.stack  # they lie side by side already
        else:
            left = lefts[0] if len(lefts) == 1 else torch.cat(lefts, 1)
        torch.mul(left, joined.column, out=joined.left)
        torch.cat(rights, 1, out=joined.right)
        return joined

    def _new_joined(self, batch: int) -> _Joined:
        parts = [
            (self._thetas[rule] * (scale / batch)).expand(-1, left.shape[1], -1)
            for (rule, scale), left in zip(self.scales, self.lefts, strict=True)
        ]
        joined = _Joined(self._matrix, torch.cat(parts, 1), batch, list(self.scales))
        self._joined.append(joined)
        return joined

    def _add_all(self, joined: _Joined | None, batch: int) -> None:
        """Add dense parts, decays and factors, through the transforms if there are any."""
        dense, fraction = self._reduce_others(batch)
        self._others.clear()
        if self._transforms:
            self._add_transformed(dense, fraction, joined)
            return
        if fraction is not None:
            # not W *= 1 - fraction: in float32 that would round a fraction of 1e-6 by 5%
            self._matrix.addcmul_(self._matrix, fraction, value=-1)
        if joined is not None:
            joined.add()
        if dense is not None:
            self._matrix.add_(dense)

    def _reduce_others(self, batch: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the sum of the dense parts, and the fraction of each row that decays."""
        dense = fraction = None
        for rule, part in self._others:
            theta = self._thetas[rule] * part.scale
            if isinstance(part, Decay):
                rows = theta
                if part.factor is not None:
                    rows = theta * (part.factor.sum(1).unsqueeze(-1) / batch)
                fraction = rows if fraction is None else fraction + rows
            elif isinstance(part, Dense):
                value = theta * part.value
                dense = value if dense is None else dense + value
        return dense, fraction

    def _add_transformed(
        self, dense: Tensor | None, fraction: Tensor | None, joined: _Joined | None
    ) -> None:
        total = aligned_zeros(*self._matrix.shape, like=self._matrix)
        if joined is not None:
            added_product(total, joined.left, joined.right)()
        if fraction is not None:
            total = total - fraction * self._matrix
        if dense is not None:
            total = total + dense
        for function, states in self._transforms:
            result = function(Increment(total, self._matrix, states))
            if states is None:
                total = result
            else:
                total, new = result
                _write_state(states, new)
        self._matrix.add_(total)


class _Joined:
    """The joined factors of one matrix.

    Attributes:
        batch: size of the mini-batch that it is for.
        scales: rule and scale of each pair of factors that it is for.
        column: ``[R, n, 1]``, theta * scale / batch for each row of `left`.
        left: ``[R, n, rows]``, scaled.
        right: ``[R, n, columns]``.
        add: adds left' right to the matrix.
    """

    def __init__(
        self, matrix: Tensor, column: Tensor, batch: int, scales: list[tuple[str, float]]
    ) -> None:
        replicas, rows, columns = matrix.shape
        self.batch, self.scales, self.column = batch, scales, column
        self.left = aligned_zeros(replicas, column.shape[1], rows, like=matrix)
        self.right = aligned_zeros(replicas, column.shape[1], columns, like=matrix)
        self.add = added_product(matrix, self.left, self.right)


def _namespace(
    parameters: Parameters, owner: str, projection: int, states: dict[str, State]
) -> SimpleNamespace | None:
    """Return views of the states of one rule in one projection, or None where it has none."""
    if not states:
        return None
    return SimpleNamespace(
        **{name: parameters.state[state_key(owner, projection, name)] for name in states}
    )


def _write_state(states: SimpleNamespace, new: dict[str, Tensor]) -> None:
    for name, value in new.items():
        getattr(states, name).copy_(value)
