"""The step as a pure function of tensors, for `torch.compile`.

Where the engine writes into buffers, because dispatch is what costs it, this returns new tensors:
a compiler turns them into few loops. Products with one event are written as a multiplication and a
sum, which it fuses with what surrounds them; a call of BLAS it could not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from plastic_core.api.circuit import Circuit
from plastic_core.api.maps import Map
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.signals import Signals
from plastic_core.api.update import Update, apart
from plastic_core.backends.step.description import Description
from plastic_core.backends.step.functional import signals_of_passes
from plastic_core.backends.step.learning import transformed, updates_of
from plastic_core.circuits.network import circuit_of
from plastic_core.hooks.hooks import Hooks
from plastic_core.hooks.own import Own
from plastic_core.networks.masks import masks_of
from plastic_core.networks.noise import NOISE, NoiseOfUpdate, count_updates
from plastic_core.networks.parameters import Parameters


class FunctionalStep:
    """One step of learning without side effects.

    Args:
        network: the network.
        hooks: the resolved hooks.
        device: of the parameters.
    """

    def __init__(
        self, network: AnyNetwork | Circuit, hooks: Hooks, device: torch.device | str = "cpu"
    ) -> None:
        circuit = circuit_of(network)
        self._passes = [Description(circuit, hooks, index) for index in range(hooks.passes)]
        self._step = self._passes[0]
        self._masks = masks_of(self._step.circuit, hooks.feedback, device)

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
        noise = NoiseOfUpdate(parameters.state, parameters.weights[0].dtype, stored=_stored)
        own = Own(self._step.circuit, parameters.state.__getitem__, noise.of)
        outputs, signals = signals_of_passes(self._passes, _Fusible(parameters), own, x, target)
        new = Parameters(
            [*parameters.weights],
            [*parameters.feedback],
            dict(parameters.state),
            parameters.biased,
            parameters.seeds,
        )
        for p, s in enumerate(signals):
            self._learn(p, s, parameters, thetas, new, own)
        if NOISE in new.state:
            new.state[NOISE] = new.state[NOISE].clone()
            count_updates(new.state)
        return new, outputs

    def _learn(
        self,
        p: int,
        s: Signals,
        parameters: Parameters,
        thetas: dict[str, Tensor],
        new: Parameters,
        own: Own,
    ) -> None:
        increments: dict[str, Tensor] = {}
        for rule, updates, states in updates_of(self._step.hooks, p, s, own):
            new.state |= states
            for matrix, update in updates.items():
                old = s.weight if matrix == "forward" else s.feedback
                increment = _multiplied_out(update, old, thetas[rule.theta], s.batch)
                before = increments.get(matrix)
                increments[matrix] = increment if before is None else before + increment
        for matrix, increment in increments.items():
            tensors = parameters.weights if matrix == "forward" else parameters.feedback
            changed = new.weights if matrix == "forward" else new.feedback
            mask = self._masks[matrix][p]
            increment = increment if mask is None else increment * mask
            total, states = transformed(
                self._step.hooks, p, matrix, increment, tensors[p], own.state
            )
            # or the compiler computes them anew from the first of the steps each time
            new.state |= {key: _stored(value) for key, value in states.items()}
            changed[p] = tensors[p] + total if mask is None else (tensors[p] + total) * mask


class _Fusible:
    """See `plastic_core.backends.step.functional.Arithmetic`."""

    def __init__(self, parameters: Parameters) -> None:
        self._matrices = {"weight": parameters.weights, "feedback": parameters.feedback}

    def matrix(self, kind: Literal["weight", "feedback"], projection: int) -> Tensor:
        return self._matrices[kind][projection]

    def send(self, projection: int, pre: Tensor) -> Tensor:
        return _product(pre, self.matrix("weight", projection))

    def send_back(self, projection: int, posts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        # two even where one is needed: a product with one row would be taken apart into a walk
        # down the columns, which takes longer than BLAS does for two
        rows = [*posts.values()]
        both = torch.bmm(torch.cat((rows[0], rows[-1]), 1), self.matrix("weight", projection))
        return dict(zip(posts, both.chunk(2, 1), strict=False))

    def feed_back(self, projection: int, error: Tensor) -> Tensor:
        return _product(error, self.matrix("feedback", projection))

    def apply(self, function: Map, inputs: Sequence[Tensor]) -> tuple[Tensor, Any]:
        return function.forward(*inputs)

    def apply_back(self, function: Map, error: Tensor, kept: Any) -> Sequence[Tensor]:
        return function.backward(error, kept)

    def stored(self, error: Tensor) -> Tensor:
        # of many events BLAS stores it; and torch.compile takes the strides of what it pooled or
        # folded for others than they are
        return _stored(error) if error.shape[1] == 1 else error


def _stored(value: Tensor) -> Tensor:
    """Return `value` in a way that makes the compiler store it.

    Otherwise it would compute an error, exponential included, again for each weight.
    """
    # of a view torch.compile would read what lies below it, which it may have laid out otherwise
    own = value.clone(memory_format=torch.contiguous_format)
    return own.as_strided(own.shape, own.stride())


def _product(y: Tensor, weight: Tensor) -> Tensor:
    """Return W y for each event, ``[R, K, m]`` from ``[R, K, n]`` and ``[R, m, n]``."""
    if y.shape[1] == 1:
        return (weight * y).sum(-1).unsqueeze(1)
    return torch.bmm(y, weight.mT)


def _multiplied_out(update: Update | Tensor, matrix: Tensor, theta: Tensor, batch: int) -> Tensor:
    parts, terms = apart(update), []
    for part in parts.outers:
        left = part.post * (theta * (part.scale / batch))
        one = left.shape[1] == 1
        terms.append(_stored(left).mT * part.pre if one else torch.bmm(left.mT, part.pre))
    for decay in parts.decays:
        rows = theta * decay.scale
        if decay.factor is not None:
            rows = rows * (decay.factor.sum(1).unsqueeze(-1) / batch)
        terms.append(-rows * matrix)
    terms += [theta * part.scale * part.value for part in parts.dense]
    return sum(terms[1:], terms[0])
