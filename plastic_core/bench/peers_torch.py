"""Online BP+Oja as a user of PyTorch writes it.

* module: ``nn.Linear`` and ``nn.Softplus``, forward hooks that keep the activities Oja's rule
  needs, ``loss.backward()``, ``torch.optim.SGD``, then Oja's increments in place.
* functional: bare tensors, ``torch.autograd.grad``, and in-place rank-1 updates; the leanest loop
  with autograd that we could write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plastic_core.bench.case import BP, OJA, Case


def functional(case: Case) -> Callable[[int], list[Tensor]]:
    """Return a function that trains for some updates and returns the weights."""
    weights = [w.requires_grad_() for w in case.weights()]

    def train(updates: int) -> list[Tensor]:
        points = case.order(updates)[0]
        xs, labels = case.inputs[points], case.labels[points]
        for point, label in zip(xs.unbind(), labels.unbind(), strict=True):
            ys = [point]
            for weight in weights[:-1]:
                ys.append(F.softplus(torch.mv(weight, ys[-1]), 10))
            z = torch.mv(weights[-1], ys[-1])
            gradients = torch.autograd.grad(F.cross_entropy(z, label), weights)
            with torch.no_grad():
                ys.append(torch.softmax(z, -1))
                for weight, gradient, pre, post in zip(
                    weights, gradients, ys, ys[1:], strict=False
                ):
                    rest = pre - post @ weight
                    weight.add_(gradient, alpha=-BP).addr_(post, rest, alpha=OJA)
        return [w.detach() for w in weights]

    return train


def module(case: Case) -> Callable[[int], list[Tensor]]:
    """Return a function that trains for some updates and returns the weights."""
    layers: list[nn.Module] = []
    for weight in case.weights():
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data.copy_(weight)
        layers += [linear, nn.Softplus(beta=10)]
    network = nn.Sequential(*layers[:-1])
    linears = [layer for layer in network if isinstance(layer, nn.Linear)]
    inputs: dict[nn.Module, Tensor] = {}

    def keep(layer: nn.Module, args: Any, out: Any) -> None:
        inputs[layer] = args[0].detach()

    for linear in linears:
        linear.register_forward_hook(keep)
    optimiser = torch.optim.SGD(network.parameters(), lr=BP)
    loss_of = nn.CrossEntropyLoss()

    def train(updates: int) -> list[Tensor]:
        points = case.order(updates)[0].unsqueeze(1)
        xs, labels = case.inputs[points], case.labels[points]
        for point, label in zip(xs.unbind(), labels.unbind(), strict=True):
            z = network(point)
            optimiser.zero_grad()
            loss_of(z, label).backward()
            with torch.no_grad():
                posts = [inputs[linear] for linear in linears[1:]] + [torch.softmax(z, -1)]
                factors = [
                    (post, inputs[linear] - post @ linear.weight)
                    for linear, post in zip(linears, posts, strict=True)
                ]
                optimiser.step()
                for linear, (post, rest) in zip(linears, factors, strict=True):
                    linear.weight.addmm_(post.T, rest, alpha=OJA)
        return [linear.weight.detach() for linear in linears]

    return train
