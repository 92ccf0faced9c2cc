"""Recurrent networks, 20 side by side, against a loop with autograd, on one core.

Run by hand: ``python -m tests.benchmarks.recurrent``. The network is that of Figure 7, the rule
bp+oja; ratios are taken within rounds.
"""

from __future__ import annotations

import statistics
import time

import torch

from plastic_core import RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import RecurrentSpec
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue

SPEC = RecurrentSpec(inputs=784, hidden=100, classes=10)
ROUNDS = 9


def autograd(x, labels):
    """Return updates per second of one network: the loop unrolled, SGD, Oja's rule by hand."""
    w_x, w_h, w_o = (w[0].clone().requires_grad_() for w in initial_parameters(SPEC, [0]).weights)
    optimiser = torch.optim.SGD([w_x, w_h, w_o], lr=4e-4)
    begun = time.process_time()
    for one, label in zip(x, labels, strict=True):
        drive = w_x @ one
        z, sent = [drive], []
        for t in range(1, SPEC.steps):
            sent.append(w_h @ torch.tanh(z[-1]))
            z.append(sent[-1] + drive if t < SPEC.present else sent[-1])
        loss = torch.nn.functional.cross_entropy(w_o @ torch.tanh(z[-1]), label)
        optimiser.zero_grad()
        loss.backward()
        with torch.no_grad():
            u, states = torch.stack(sent), torch.stack(z[:-1])
            increment = u.T @ (states - u @ w_h)
            optimiser.step()
            w_h.add_(increment, alpha=3e-4)
    return len(x) / (time.process_time() - begun)


def ours(backend, replicas, x, labels):
    """Return updates per second of all networks together."""
    plan = make_plan(RunSpec(rule="0.0008*bp+0.0003*oja", task="delayed-mnist-rnn"), Catalogue())
    hooks = resolve_hooks(plan.selected)
    parameters = initial_parameters(SPEC, range(replicas))
    thetas = {r.name: torch.full((replicas,), r.theta) for r in plan.rules}
    made = backend(SPEC, hooks, thetas, parameters, x, torch.eye(10)[labels], 1)
    order = torch.arange(len(x)).expand(replicas, -1)
    made.advance(order[:, :2])
    begun = time.process_time()
    made.advance(order)
    return replicas * len(x) / (time.process_time() - begun)


def main():
    torch.set_num_threads(1)
    source = torch.Generator().manual_seed(0)
    x = torch.rand(60, 784, generator=source)
    labels = torch.randint(10, (60,), generator=source)
    ratios = []
    for number in range(ROUNDS):
        peer = autograd(x, labels)
        native, eager = (ours(b, 20, x, labels) for b in (NativeBackend, EagerBackend))
        one = ours(NativeBackend, 1, x, labels)
        ratios.append((native / peer, eager / peer))
        print(
            f"round {number + 1}: autograd {peer:,.0f} updates/s; native {native:,.0f} with 20 "
            f"networks ({native / peer:.1f}x), {one:,.0f} with one; eager {eager:,.0f} "
            f"({eager / peer:.1f}x)"
        )
    medians = [statistics.median(column) for column in zip(*ratios, strict=True)]
    print(f"medians: native {medians[0]:.1f} times autograd, eager {medians[1]:.1f} times")


if __name__ == "__main__":
    main()
