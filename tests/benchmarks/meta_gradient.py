"""The gradient of one meta-episode: tangents against reverse mode through dense updates, and JAX.

Run by hand: ``python -m tests.benchmarks.meta_gradient``. 5 layers, 250 steps, 50 queries, 2
thetas, on one core; ratios are taken within rounds. JAX differentiates the same step forwards
(``pip install 'plastic-learning[bench]'``). Then the memory that each needs beside what is
loaded, for 250 and for 5,000 steps, each in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import re
import statistics
import time
from functools import partial
from pathlib import Path

import torch

from plastic_core.backends.compiled.functional_step import FunctionalStep
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.bench import peers_jax
from tests.building import random_points, resolve

RULE, SIZES = "0.001*bp+0.0001*oja", (784, 170, 130, 100, 70, 47)
ROUNDS = 9


def made(steps):
    plan, hooks, parameters = resolve(RULE, SIZES, dtype="float32")
    thetas = {r.name: torch.tensor([r.theta]) for r in plan.rules}
    x, target = random_points(1, steps, 1, SIZES, torch.float32)
    queries, asked = random_points(1, 1, 50, SIZES, torch.float32, seed=1)
    return plan.network, hooks, thetas, parameters, x, target, queries[0], asked[0]


def reverse(spec, hooks, thetas, parameters, x, target, queries, asked):
    """The way the group publishes: every update is a new matrix, differentiated backwards."""
    for theta in thetas.values():
        theta.requires_grad_()
    step = FunctionalStep(spec, hooks)
    columns = {name: theta.view(-1, 1, 1) for name, theta in thetas.items()}
    begun = time.process_time()
    for one, wanted in zip(x, target, strict=True):
        parameters, _ = step(parameters, columns, one, wanted)
    y = queries
    for weight in parameters.weights[:-1]:
        y = torch.nn.functional.softplus(y @ weight.mT, 10)
    z = y @ parameters.weights[-1].mT
    loss = -(asked * torch.log_softmax(z, -1)).sum() / 50
    gradient = torch.autograd.grad(loss, list(thetas.values()))
    return time.process_time() - begun, torch.cat(gradient)


def forward(native, spec, hooks, thetas, parameters, x, target, queries, asked):
    with torch.inference_mode():
        step = TangentStep(spec, hooks, thetas, parameters)
        if native:
            points = [t.flatten(0, 2).contiguous() for t in (x, target)]
            backend = NativeTangents(spec, hooks, thetas, parameters, *points, 1)
            backend.carry(step.tangents)
        begun = time.process_time()
        if native:
            backend.advance(torch.arange(len(x)).view(1, -1))
        else:
            for one, wanted in zip(x, target, strict=True):
                step.step(one, wanted)
        outputs, tangents = step.outputs(queries)
        gradient = -(asked / outputs * tangents).sum((1, 2, 3)) / 50
    return time.process_time() - begun, gradient


def jax_forward(spec, hooks, thetas, parameters, x, target, queries, asked):
    """``jax.jacfwd`` through a scan over the updates; compiled before it is timed."""
    import jax
    import jax.numpy as jnp

    points = [jnp.asarray(t.flatten(0, 2).numpy()) for t in (x, target)]
    weights = [jnp.asarray(w[0].numpy()) for w in parameters.weights]
    queries, asked = (jnp.asarray(t[0].numpy()) for t in (queries, asked))
    names = list(thetas)

    def update(weights, thetas, point):
        x, target = point
        bp, oja = (thetas[names.index(name)] for name in ("bp", "oja"))
        ys = [x]
        for weight in weights[:-1]:
            ys.append(jax.nn.softplus(10 * (weight @ ys[-1])) / 10)
        ys.append(jax.nn.softmax(weights[-1] @ ys[-1]))
        error, new = ys[-1] - target, []
        for weight, pre, post in zip(weights[::-1], ys[-2::-1], ys[:0:-1], strict=True):
            back, recon = jnp.stack([error, post]) @ weight
            new.append(weight + oja * jnp.outer(post, pre - recon) - bp * jnp.outer(error, pre))
            error = back * (1 - jnp.exp(-10 * pre))
        return new[::-1]

    def loss(thetas):
        def step(weights, point):
            return update(weights, thetas, point), None

        y = queries
        after, _ = jax.lax.scan(step, weights, tuple(points))
        for weight in after[:-1]:
            y = jax.nn.softplus(10 * (y @ weight.T)) / 10
        return -(asked * jax.nn.log_softmax(y @ after[-1].T)).sum() / len(asked)

    gradient = jax.jit(jax.jacfwd(loss))
    at = jnp.asarray([float(theta) for theta in thetas.values()])
    ready = jax.block_until_ready
    ready(gradient(at))
    begun = time.process_time()
    found = ready(gradient(at))
    return time.process_time() - begun, torch.tensor(found.tolist())


WAYS = {
    "reverse": reverse,
    "eager": partial(forward, False),
    "native": partial(forward, True),
    **({"JAX": jax_forward} if peers_jax.installed() else {}),
}


def peak(name, steps, results):
    """Put the growth of the peak of this process, in MB, into a queue."""
    torch.set_num_threads(1)
    data = made(steps)
    WAYS[name](*made(2))  # what is loaded and compiled at first use
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = high_water()
    WAYS[name](*data)
    results.put(high_water() - before)


def high_water():
    """Return the peak of this process's memory in MB; on Linux."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def main():
    torch.set_num_threads(1)
    ratios = []
    for number in range(ROUNDS):
        seconds, gradients = {}, {}
        for name, way in WAYS.items():
            seconds[name], gradients[name] = way(*made(250))
        first = gradients["reverse"]
        apart = max(
            float(((g - first) / first.abs().max()).abs().max()) for g in gradients.values()
        )
        ratios.append({name: one / seconds["native"] for name, one in seconds.items()})
        print(
            f"round {number + 1}: "
            + "; ".join(f"{name} {one:.3f} s" for name, one in seconds.items())
            + f"; gradients differ by {apart:.1g}"
        )
    for name in WAYS:
        median = statistics.median(ratio[name] for ratio in ratios)
        print(f"native is {median:.1f} times as fast as {name}")
    context = multiprocessing.get_context("spawn")
    for name in ("reverse", "eager", "native"):
        for steps in (250, 5000) if name != "reverse" else (250,):
            results = context.Queue()
            process = context.Process(target=peak, args=(name, steps, results))
            process.start()
            print(f"{name}, {steps} steps: the peak grows by {results.get():.0f} MB")
            process.join()


if __name__ == "__main__":
    main()
