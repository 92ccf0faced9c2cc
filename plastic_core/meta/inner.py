"""The inner loop: networks that learn one episode each, and how they answer afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plastic_core.build import Hooks, resolve_hooks
from plastic_core.fewshot import Episode
from plastic_core.meta.tangents import TangentStep
from plastic_core.network_specs import NetworkSpec
from plastic_core.parameters import initial_parameters
from plastic_core.plan import Plan


@dataclass(frozen=True)
class Answers:
    """How R networks answer the queries of their episodes.

    Attributes:
        loss: ``[R]``, mean cross-entropy in nats; not finite where a network diverged.
        accuracy: ``[R]``.
        gradient: ``[R, P]``, of the loss with respect to the thetas.
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    gradient: NDArray[np.float64]


class InnerLoop:
    """Trains a fresh network for each episode, online, each point once.

    Args:
        plan: rules and network.
        inputs: ``[N, n]``, the points that episodes are drawn from.
    """

    def __init__(self, plan: Plan, inputs: NDArray[np.float32]) -> None:
        assert isinstance(plan.network, NetworkSpec)
        self._network: NetworkSpec = plan.network
        self._dtype: torch.dtype = getattr(torch, plan.spec.dtype)
        self._names = [rule.name for rule in plan.rules]
        selected = [(r.rule, frozenset(layer - 1 for layer in r.layers)) for r in plan.rules]
        self._hooks: Hooks = resolve_hooks(selected, dtype=self._dtype)
        self._inputs = torch.from_numpy(inputs)
        self._one_hot = torch.eye(self._network.sizes[-1], dtype=self._dtype)

    def learn(self, thetas: NDArray[np.float64], episodes: Sequence[Episode]) -> Answers:
        """Return how the networks answer, and the gradients of their losses.

        Args:
            thetas: ``[R, P]``, in the order of the expression.
            episodes: one for each replica.
        """
        hooks, seeds = self._hooks, [episode.network for episode in episodes]
        parameters = initial_parameters(self._network, seeds, hooks.feedback, self._dtype)
        hooks.add_states(parameters)
        columns = torch.from_numpy(thetas).to(self._dtype).T
        named = dict(zip(self._names, columns, strict=True))
        points, labels = (
            torch.from_numpy(np.stack([getattr(e, name) for e in episodes]))
            for name in ("points", "labels")
        )
        with torch.inference_mode():
            step = TangentStep(self._network, hooks, named, parameters)
            for point, label in zip(points.T.unsqueeze(-1), labels.T.unsqueeze(-1), strict=True):
                step.step(self._x(point), self._one_hot[label])
            queries, asked = (
                torch.from_numpy(np.stack([getattr(e, name) for e in episodes]))
                for name in ("queries", "query_labels")
            )
            outputs, tangents = step.outputs(self._x(queries))
            return _answers(outputs, tangents, asked)

    def _x(self, points: Tensor) -> Tensor:
        return self._inputs[points].to(self._dtype)


def _answers(outputs: Tensor, tangents: Tensor, labels: Tensor) -> Answers:
    """Return the loss, and by the chain rule its gradient.

    Args:
        outputs: ``[R, Q, n_L]``, softmax.
        tangents: ``[P, R, Q, n_L]``.
        labels: ``[R, Q]``.
    """
    index = labels.unsqueeze(-1)
    picked = outputs.gather(-1, index).squeeze(-1).double()
    # softmax may have rounded a probability to zero
    picked = picked.clamp_min(torch.finfo(outputs.dtype).tiny)
    change = tangents.gather(-1, index.expand(len(tangents), *index.shape)).squeeze(-1).double()
    return Answers(
        loss=-picked.log().mean(-1).numpy(),
        accuracy=(outputs.argmax(-1) == labels).double().mean(-1).numpy(),
        gradient=-(change / picked).mean(-1).T.numpy(),
    )
