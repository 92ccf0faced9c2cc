"""Online BP+Oja in a convolutional network: images per second, and ratios taken within rounds.

Run by hand: ``python -m tests.benchmarks.convolution [ROUNDS]``, on one core. The network is
conv 16 5x5 / pool 2 / conv 32 5x5 / pool 2 / readout, on random images of 28 x 28. Beside our
backends stand the loop that one writes in PyTorch, gradients by autograd and Oja's rule on unfolded
patches, and, where JAX is installed, the same compiled over all samples by ``lax.scan``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from importlib.util import find_spec

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import torch
import torch.nn.functional as F

from plastic_core import RunSpec, initial_parameters, resolve_hooks
from plastic_core.backends.compiled.compiled_backend import CompiledBackend
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue

BP, OJA = 0.01, 1e-6
NET = "conv 16 5x5 / pool 2 / conv 32 5x5 / pool 2"
SHAPES = ((16, 25), (32, 400), (10, 512))
#: Operations on numbers for one image: forward, W' of error and post, two increments.
FLOP = 2 * sum(
    places * rows * columns * 5
    for places, (rows, columns) in zip((576, 64, 1), SHAPES, strict=True)
)

plan = make_plan(
    RunSpec(rule=f"{BP}*bp+{OJA}*oja", task="mnist-cnn", options={"net": NET}), Catalogue()
)
source = torch.Generator().manual_seed(0)
X = torch.rand(500, 784, generator=source)
TARGETS = torch.eye(10)[torch.randint(10, (500,), generator=source)]


def ours(backend, replicas):
    """Return a function that trains all networks for some samples, in turns over one order."""
    hooks = resolve_hooks(plan.selected)
    parameters = initial_parameters(plan.network, [0] * replicas)
    thetas = {r.name: torch.full((replicas,), r.theta) for r in plan.rules}
    made = backend(plan.network, hooks, thetas, parameters, X, TARGETS, 1)

    def train(samples):
        made.advance((torch.arange(samples) % 500).expand(replicas, -1))
        return [w[0] for w in parameters.weights]

    return train


def autograd(replicas):
    networks = [
        [w[0].clone().requires_grad_() for w in initial_parameters(plan.network, [0]).weights]
        for _ in range(replicas)
    ]

    def step(weights, x, target):
        image = x.view(1, 1, 28, 28)
        y1 = F.softplus(F.conv2d(image, weights[0].view(16, 1, 5, 5)), 10)
        p1 = F.max_pool2d(y1, 2)
        y2 = F.softplus(F.conv2d(p1, weights[1].view(32, 16, 5, 5)), 10)
        p2 = F.max_pool2d(y2, 2).flatten(1)
        z = p2 @ weights[2].T
        gradients = torch.autograd.grad(-(target * z.log_softmax(-1)).sum(), weights)
        with torch.no_grad():
            pres = F.unfold(image, 5)[0], F.unfold(p1, 5)[0], p2.T
            posts = y1.flatten(2)[0], y2.flatten(2)[0], z.softmax(-1).T
            for weight, gradient, pre, post in zip(weights, gradients, pres, posts, strict=True):
                change = post @ (pre - weight.T @ post).T
                weight.add_(change, alpha=OJA).add_(gradient, alpha=-BP)

    def train(samples):
        for i in range(samples):
            for weights in networks:
                step(weights, X[i % 500], TARGETS[i % 500 : i % 500 + 1])
        return [w.detach() for w in networks[0]]

    return train


def jax_scan(replicas):
    import jax
    import jax.numpy as jnp
    from jax import lax

    inputs, targets = jnp.asarray(X.numpy()), jnp.asarray(TARGETS.numpy())
    dims = ("NCHW", "OIHW", "NCHW")

    def pool(y):
        return lax.reduce_window(y, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def patches(y):
        found = lax.conv_general_dilated_patches(y, (5, 5), (1, 1), "VALID")
        return found[0].reshape(found.shape[1], -1)

    def loss(weights, image, target):
        y1 = (
            jax.nn.softplus(
                10
                * lax.conv_general_dilated(
                    image, weights[0].reshape(16, 1, 5, 5), (1, 1), "VALID", dimension_numbers=dims
                )
            )
            / 10
        )
        p1 = pool(y1)
        y2 = (
            jax.nn.softplus(
                10
                * lax.conv_general_dilated(
                    p1, weights[1].reshape(32, 16, 5, 5), (1, 1), "VALID", dimension_numbers=dims
                )
            )
            / 10
        )
        p2 = pool(y2).reshape(-1)
        z = weights[2] @ p2
        seen = (y1.reshape(16, -1), p1, y2.reshape(32, -1), p2, jax.nn.softmax(z))
        return -(target * jax.nn.log_softmax(z)).sum(), seen

    def step(weights, point):
        image = point[0].reshape(1, 1, 28, 28)
        gradients, seen = jax.grad(loss, has_aux=True)(weights, image, point[1])
        y1, p1, y2, p2, out = seen
        pres, posts = (patches(image), patches(p1), p2[:, None]), (y1, y2, out[:, None])
        new = [
            w - BP * g + OJA * (post @ (pre - w.T @ post).T)
            for w, g, pre, post in zip(weights, gradients, pres, posts, strict=True)
        ]
        return tuple(new), None

    @jax.jit
    def run(weights, points):
        return lax.scan(step, weights, (inputs[points], targets[points]))[0]

    initial = initial_parameters(plan.network, [0]).weights
    networks = [tuple(jnp.asarray(w[0].numpy()) for w in initial) for _ in range(replicas)]

    def train(samples):
        points = jnp.arange(samples) % 500
        for i, weights in enumerate(networks):
            networks[i] = run(weights, points)
        jax.block_until_ready(networks)
        return [torch.from_numpy(jnp.asarray(w).__array__()) for w in networks[0]]

    return train


def blas():
    """Return what a product of large matrices reaches on this core, in Gflop/s; PyTorch's or NumPy's."""
    reached = []
    for a in (torch.rand(768, 768), torch.rand(768, 768).numpy()):
        for _ in range(20):
            begun = time.perf_counter()
            a @ a
            reached.append(2 * 768**3 / (time.perf_counter() - begun) / 1e9)
    return max(reached)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(1)
    for replicas, samples in ((1, 500), (20, 50)):
        ways = {
            "native": ours(NativeBackend, replicas),
            "eager": ours(EagerBackend, replicas),
            "compiled": ours(CompiledBackend, replicas),
            "autograd": autograd(replicas),
        }
        if find_spec("jax"):
            ways["jax scan"] = jax_scan(replicas)
        # all compiled, and all the same
        weights = {name: train(samples) for name, train in ways.items()}
        for name, found in weights.items():
            for one, other in zip(found, weights["autograd"], strict=True):
                assert (one - other).abs().max() < 1e-3, name
        speeds = {name: [] for name in ways}
        for _ in range(rounds):
            for name, train in ways.items():
                begun = time.perf_counter()
                train(samples)
                speeds[name].append(replicas * samples / (time.perf_counter() - begun))
        print(f"\n{replicas} networks, medians of {rounds} rounds; BLAS {blas():.1f} Gflop/s")
        print("way        images/s  Gflop/s  native  eager  compiled   (times it)")
        for name, found in speeds.items():
            ratios = [
                statistics.median(a / b for a, b in zip(speeds[ours_], found, strict=True))
                for ours_ in ("native", "eager", "compiled")
            ]
            speed = statistics.median(found)
            print(
                f"{name:10} {speed:8,.0f}  {speed * FLOP / 1e9:7.1f}  {ratios[0]:6.2f}  "
                f"{ratios[1]:5.2f}  {ratios[2]:8.2f}"
            )


if __name__ == "__main__":
    main()
