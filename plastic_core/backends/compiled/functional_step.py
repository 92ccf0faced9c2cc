"""The engine's step as a pure function of tensors, for `torch.compile`.

The same numbers as `Engine` up to rounding, from the same hooks. Where the engine writes into
buffers, because dispatch is what costs it, this returns new tensors: a compiler turns them into
few loops. Products with one event are written as a multiplication and a sum, which it fuses with
what surrounds them; a call of BLAS it could not.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from plastic_core.api.increment import Increment
from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import NetworkSpec
from plastic_core.api.signals import Signals
from plastic_core.api.update import Decay, Dense, Outer, Update, as_update
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.activations import ACTIVATIONS
from plastic_core.networks.feedforward import plan_needs
from plastic_core.networks.losses import loss_of
from plastic_core.networks.normalisation import normalise, normalise_back
from plastic_core.networks.parameters import Parameters, state_key, state_view


class _Below(NamedTuple):
    """The layer below a projection.

    Attributes:
        branch: y_{l-1} without what skipped the layer.
        normalised: from `normalise`, where the layer is normalised.
    """

    branch: Tensor
    normalised: tuple[Tensor, Tensor] | None


class FunctionalStep:
    """One step of learning without side effects.

    Args:
        spec: the network.
        hooks: the resolved hooks.
        loss: None for the installed one that the spec names.
    """

    def __init__(self, spec: NetworkSpec, hooks: Hooks, loss: Loss | None = None) -> None:
        self._spec, self._hooks, self._loss = spec, hooks, loss_of(spec, loss)
        self._needs = plan_needs(hooks, spec.depth)
        self._own_forward = [hooks.forward_at(p) for p in range(spec.depth)]
        self._activation = ACTIVATIONS[spec.activation]

    def __call__(
        self, parameters: Parameters, thetas: dict[str, Tensor], x: Tensor, target: Tensor
    ) -> tuple[Parameters, Tensor]:
        """Return the parameters after the step, and the outputs before it.

        Args:
            parameters: of R replicas.
            thetas: by rule, ``[R, 1, 1]``.
            x: ``[R, K, n_0]``.
            target: ``[R, K, n_L]``.
        """
        layers, belows = self._forward(parameters, x)
        outputs = layers[-1].post
        if self._needs[-1].error:
            layers[-1].error = layers[-1].output_error = self._loss.error(outputs, target)
        new = Parameters([*parameters.weights], [*parameters.feedback], dict(parameters.state))
        arrived: Tensor | None = None
        for p in reversed(range(self._spec.depth)):
            s = layers[p]
            arrived = self._send_back(p, s, belows[p], arrived)
            if p and self._needs[p].propagate:
                layers[p - 1].error = s.pre_error
                layers[p - 1].output_error = s.output_error
            self._learn(p, s, parameters, thetas, new)
        return new, outputs

    def _forward(self, parameters: Parameters, x: Tensor) -> tuple[list[Signals], list[_Below]]:
        """Return the signals that are known going up, and what is below each projection."""
        layers, belows = [], [_Below(x, None)]
        activity = x
        for p, weight in enumerate(parameters.weights):
            s = Signals(p + 1)
            s.pre = s.source = activity
            s.weight, s.batch = weight, x.shape[1]
            if parameters.feedback:
                s.feedback = parameters.feedback[p]
            own = self._own_forward[p]
            z = None if own is None else own(s)
            if z is None:
                z = _product(activity, weight)
            normalised = None
            if p == self._spec.depth - 1:
                s.post = self._loss.output(z)
            else:
                if self._spec.layer_norm:
                    normalised = normalise(z)
                    z = normalised[0]
                s.post = self._activation.apply(z, None)
            belows.append(_Below(s.post, normalised))
            activity = s.post + activity if self._spec.skips[p] else s.post
            layers.append(s)
        return layers, belows

    def _send_back(self, p: int, s: Signals, below: _Below, above: Tensor | None) -> Tensor | None:
        needs, hooks = self._needs[p], self._hooks
        if needs.weight_error or needs.recon:
            # both even where one is needed: a product with one row would be taken apart into a
            # walk down the columns, which takes longer than BLAS does for two
            other = s.error if needs.error else s.post
            both = torch.bmm(torch.cat((other, s.post), 1), s.weight)
            s.weight_error, s.recon = both.chunk(2, 1)
        if needs.feedback_error:
            error = s.error if hooks.feedback == "layer" else s.output_error
            s.feedback_error = _product(error, s.feedback)
        if not needs.propagate:
            return None
        assert hooks.propagate is not None
        arrived = hooks.propagate(s)
        if self._spec.skips[p]:
            assert above is not None
            arrived = arrived + above
        error = arrived
        if hooks.gated:
            error = self._activation.gate(arrived, below.branch, None)
            if below.normalised is not None:
                error = normalise_back(error, *below.normalised)
        s.pre_error = _stored(error)
        return arrived

    def _learn(
        self,
        p: int,
        s: Signals,
        parameters: Parameters,
        thetas: dict[str, Tensor],
        new: Parameters,
    ) -> None:
        increments: dict[str, Tensor] = {}
        for rule in self._hooks.local:
            if p not in rule.layers:
                continue
            s.state = state_view(rule.name, p, rule.spec.state, parameters.state.__getitem__)
            updates, after = rule.update(s)
            new.state |= {state_key(rule.name, p, n): v for n, v in after.items()}
            for matrix, update in updates.items():
                old = s.weight if matrix == "forward" else s.feedback
                increment = _multiplied_out(update, old, thetas[rule.name], s.batch)
                before = increments.get(matrix)
                increments[matrix] = increment if before is None else before + increment
        for matrix, increment in increments.items():
            tensors = parameters.weights if matrix == "forward" else parameters.feedback
            changed = new.weights if matrix == "forward" else new.feedback
            for name, transform, function in self._hooks.transforms:
                owner = f"{name}.{matrix}"
                states = state_view(owner, p, transform.spec.state, parameters.state.__getitem__)
                increment = function(Increment(increment, tensors[p], states))
                if transform.spec.state:
                    increment, after = increment
                    # or the compiler computes them anew from the first of the steps each time
                    new.state |= {state_key(owner, p, n): _stored(v) for n, v in after.items()}
            changed[p] = tensors[p] + increment


def _stored(value: Tensor) -> Tensor:
    """Return `value` in a way that makes the compiler store it.

    Otherwise it would compute an error, exponential included, again for each weight.
    """
    return value.as_strided(value.shape, value.stride())


def _product(y: Tensor, weight: Tensor) -> Tensor:
    """Return W y for each event, ``[R, K, m]`` from ``[R, K, n]`` and ``[R, m, n]``."""
    if y.shape[1] == 1:
        return (weight * y).sum(-1).unsqueeze(1)
    return torch.bmm(y, weight.mT)


def _multiplied_out(update: Update | Tensor, matrix: Tensor, theta: Tensor, batch: int) -> Tensor:
    total: Tensor | None = None
    for part in as_update(update).parts:
        if isinstance(part, Outer):
            left = part.post * (theta * (part.scale / batch))
            one = left.shape[1] == 1
            value = _stored(left).mT * part.pre if one else torch.bmm(left.mT, part.pre)
        elif isinstance(part, Decay):
            rows = theta * part.scale
            if part.factor is not None:
                rows = rows * (part.factor.sum(1).unsqueeze(-1) / batch)
            value = -rows * matrix
        else:
            assert isinstance(part, Dense)
            value = theta * part.scale * part.value
        total = value if total is None else total + value
    assert total is not None
    return total
