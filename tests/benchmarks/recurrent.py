"""Recurrent networks, 20 side by side, beside JAX and a loop with autograd, on one core.

Run by hand: ``python -m tests.benchmarks.recurrent``. The network is that of Figure 7, the rule
bp+oja, of which Oja's acts on the recurrent weights; ratios are taken within rounds. JAX scans over steps and samples, one network after the
other (``pip install 'plastic-learning[bench]'``).
"""

from __future__ import annotations

import statistics
import time

import torch

from plastic_core import RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import RecurrentSpec
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.bench import peers_jax
from plastic_core.bench.limits import Limits
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue

SPEC = RecurrentSpec(inputs=784, hidden=100, classes=10)
BP, OJA = 0.0008, 0.0003
NETWORKS, SAMPLES, ROUNDS = 20, 60, 9

# Each multiplication with an addition counts as 2. Recurrent weights are read forward, back for the
# error and for Oja's rule, and change twice, at each step; those from the input, once, learn the
# error's sum alone; those of the output are read forward and back, and learn.
FLOP = 2 * (
    5 * (SPEC.steps - 1) * SPEC.hidden**2
    + 2 * SPEC.inputs * SPEC.hidden
    + 3 * SPEC.hidden * SPEC.classes
)


def autograd(x, labels):
    """Return updates per second of one network: the loop unrolled, SGD, Oja's rule by hand."""
    w_x, w_h, w_o = (w[0].clone().requires_grad_() for w in initial_parameters(SPEC, [0]).weights)
    optimiser = torch.optim.SGD([w_x, w_h, w_o], lr=BP)
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
            w_h.add_(increment, alpha=OJA)
    return len(x) / (time.process_time() - begun)


class Jax:
    """The same network, one step compiled over all steps and samples by two scans.

    Increments of all steps are products of matrices.
    """

    def __init__(self, x, labels):
        import jax
        import jax.numpy as jnp

        def update(weights, point):
            w_x, w_h, w_o = weights
            x, target = point
            drive = w_x @ x

            def go_on(z, shown):
                sent = w_h @ jnp.tanh(z)
                return sent + shown * drive, (z, sent)

            shown = (jnp.arange(1, SPEC.steps) < SPEC.present).astype(jnp.float32)
            last, (states, sent) = jax.lax.scan(go_on, drive, shown)
            y, y_last = jnp.tanh(states), jnp.tanh(last)
            output = jax.nn.softmax(w_o @ y_last)
            output_error = output - target
            error = (output_error @ w_o) * (1 - y_last**2)

            def go_back(error, y):
                return (error @ w_h) * (1 - y**2), error

            first, errors = jax.lax.scan(go_back, error, y, reverse=True)
            to_input = first + errors[: SPEC.present - 1].sum(0)
            increment = OJA * sent.T @ (states - sent @ w_h) - BP * errors.T @ y
            w_x -= BP * jnp.outer(to_input, x)
            w_o -= BP * jnp.outer(output_error, y_last)
            return (w_x, w_h + increment, w_o), None

        self.train = jax.jit(lambda weights, x, t: jax.lax.scan(update, weights, (x, t))[0])
        self.x, self.targets = jnp.asarray(x.numpy()), jnp.asarray(torch.eye(10)[labels].numpy())
        self.first = [
            tuple(
                jnp.asarray(w[r].numpy()) for w in initial_parameters(SPEC, range(NETWORKS)).weights
            )
            for r in range(NETWORKS)
        ]
        self.ready = jax.block_until_ready
        self.weights = self.ready(self.train(self.first[0], self.x, self.targets))

    def __call__(self):
        """Return updates per second of all networks together."""
        begun = time.process_time()
        for weights in self.first:
            self.ready(self.train(weights, self.x, self.targets))
        return NETWORKS * len(self.x) / (time.process_time() - begun)


def ours(backend, replicas, x, labels):
    """Return updates per second of all networks together, and the weights of the first."""
    rule = f"{BP}*bp+{OJA}*oja"
    plan = make_plan(RunSpec(rule=rule, task="delayed-mnist-rnn"), Catalogue())
    hooks = resolve_hooks(plan.selected)
    parameters = initial_parameters(SPEC, range(replicas))
    thetas = {r.name: torch.full((replicas,), r.theta) for r in plan.rules}
    made = backend(SPEC, hooks, thetas, parameters, x, torch.eye(10)[labels], 1)
    order = torch.arange(len(x)).expand(replicas, -1)
    before = [w.clone() for w in parameters.weights]
    made.advance(order[:, :2])
    for weight, first in zip(parameters.weights, before, strict=True):
        weight.copy_(first)
    begun = time.process_time()
    made.advance(order)
    seconds = time.process_time() - begun
    return replicas * len(x) / seconds, [w[0] for w in parameters.weights]


def main():
    torch.set_num_threads(1)
    source = torch.Generator().manual_seed(0)
    x = torch.rand(SAMPLES, 784, generator=source)
    labels = torch.randint(10, (SAMPLES,), generator=source)
    peer = Jax(x, labels) if peers_jax.installed() else None
    limits, ratios = Limits.make(), []
    for number in range(ROUNDS):
        limits.measure()
        loop = autograd(x, labels)
        native, weights = ours(NativeBackend, NETWORKS, x, labels)
        eager, reference = ours(EagerBackend, NETWORKS, x, labels)
        one, _ = ours(NativeBackend, 1, x, labels)
        jax = peer() if peer else float("nan")
        others = [
            reference,
            [torch.tensor(w.tolist()) for w in peer.weights] if peer else reference,
        ]
        for other in others:
            for a, b in zip(weights, other, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
        ratios.append((native / loop, eager / loop, native / jax, native * FLOP / limits.flop))
        print(
            f"round {number + 1}: autograd {loop:,.0f} updates/s; native {native:,.0f} with "
            f"{NETWORKS} networks ({native / loop:.1f}x), {one:,.0f} with one; eager {eager:,.0f} "
            f"({eager / loop:.1f}x); JAX {jax:,.0f}"
        )
    loop, eager, jax, share = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(
        f"medians: native {loop:.1f} times autograd and {jax:.2f} times JAX, {share:.0%} of the "
        f"core's {limits.flop / 1e9:.0f} Gflop/s; eager {eager:.1f} times autograd"
    )


if __name__ == "__main__":
    main()
