"""Updates per second of the eager backend, beside plain PyTorch, in one run on one core.

    python -m tests.benchmarks.eager_against_autograd [--rounds 9] [--updates 500]

One network, online BP+Oja, 784-170-130-100-70-10. The peers are what a user of PyTorch writes:

* module: ``nn.Linear`` and ``nn.Softplus``, forward hooks that keep the activities Oja's rule
  needs, ``loss.backward()``, ``torch.optim.SGD``, then Oja's increments in place.
* functional: bare tensors, ``torch.autograd.grad``, and in-place rank-1 updates; the leanest
  loop with autograd that we could write.

Rounds are interleaved and the ratio is taken within each round, because the speed of a shared
machine changes from second to second.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

from plastic_core.specs import NetworkOptions
from tests.building import build_engine

SIZES = NetworkOptions().network_for(784, 10).sizes
BP, OJA = 0.0046, 1e-4


def initial_weights():
    """Return the weights of seed 0, those that the engine starts from."""
    return [w[0].clone() for w in engine().parameters.weights]


def engine():
    return build_engine(f"{OJA}*oja + {BP}*bp", SIZES, dtype="float32")[0]


def data(updates):
    source = torch.Generator().manual_seed(0)
    x = torch.rand(updates, 1, 784, generator=source)
    return x, torch.randint(0, 10, (updates, 1), generator=source)


def ours(updates):
    network = engine()
    x, labels = data(updates)
    targets = torch.eye(10)[labels]
    with torch.inference_mode():
        begun = time.perf_counter()
        for point, target in zip(
            x.unsqueeze(1).unbind(), targets.unsqueeze(1).unbind(), strict=True
        ):
            network.step(point, target)
        return updates / (time.perf_counter() - begun), network.parameters.weights[0][0]


def module(updates):
    layers = []
    for weight in initial_weights():
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data.copy_(weight)
        layers += [linear, nn.Softplus(beta=10)]
    network = nn.Sequential(*layers[:-1])
    linears = [layer for layer in network if isinstance(layer, nn.Linear)]
    inputs = {}
    for linear in linears:
        linear.register_forward_hook(
            lambda layer, args, out: inputs.__setitem__(layer, args[0].detach())
        )
    optimiser = torch.optim.SGD(network.parameters(), lr=BP)
    loss_of = nn.CrossEntropyLoss()
    x, labels = data(updates)
    begun = time.perf_counter()
    for point, label in zip(x.unbind(), labels.unbind(), strict=True):
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
    return updates / (time.perf_counter() - begun), linears[0].weight.detach()


def functional(updates):
    weights = [w.requires_grad_() for w in initial_weights()]
    x, labels = data(updates)
    begun = time.perf_counter()
    for point, label in zip(x[:, 0].unbind(), labels[:, 0].unbind(), strict=True):
        ys = [point]
        for weight in weights[:-1]:
            ys.append(F.softplus(torch.mv(weight, ys[-1]), 10))
        z = torch.mv(weights[-1], ys[-1])
        gradients = torch.autograd.grad(F.cross_entropy(z, label), weights)
        with torch.no_grad():
            ys.append(torch.softmax(z, -1))
            for weight, gradient, pre, post in zip(weights, gradients, ys, ys[1:], strict=False):
                rest = pre - post @ weight
                weight.add_(gradient, alpha=-BP).addr_(post, rest, alpha=OJA)
    return updates / (time.perf_counter() - begun), weights[0].detach()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--updates", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loops = {"plastic, eager": ours, "module": module, "functional": functional}
    finals = {name: loop(20)[1] for name, loop in loops.items()}  # warm up, and compare the numbers
    for name, weight in finals.items():
        torch.testing.assert_close(weight, finals["plastic, eager"], rtol=1e-4, atol=1e-5)
        print(f"{name}: same weights after 20 updates")
    rates = {name: [] for name in loops}
    for _ in range(arguments.rounds):
        for name, loop in loops.items():
            rates[name].append(loop(arguments.updates)[0])
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(rates["plastic, eager"], values, strict=True)]
        print(
            f"{name:<16}{statistics.median(values):>8,.0f} updates/s   "
            f"plastic is {statistics.median(ratios):.2f} times as fast "
            f"(rounds: {min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
