"""Memory that training takes where weights are shared, beside what it cannot do without.

Run by hand: ``python -m tests.benchmarks.memory [REPLICAS]``. The network is the deep one of
`plastic reproduce conv`, which learns online by BP+Oja. Beside the weights stand the signals that
the rules read, all events of one update: pre, post and error of each layer, and W' of post and of
error. What an update takes is the largest resident memory while it trains, less what there was
before; each way runs in a process of its own.
"""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import torch

from plastic_core import RunSpec, initial_parameters, resolve_hooks
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.experiments.reproducing.figure_files import read_figure
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue

MIB = 2**20
SAMPLES = 50


def planned():
    options = read_figure("conv").networks["deep"].options
    return make_plan(
        RunSpec(rule="1e-3*bp+1e-6*oja", task="mnist-cnn", options=options), Catalogue()
    )


def least(replicas):
    """Return the bytes of the weights, and of the signals that the rules read."""
    circuit = planned().circuit
    weights = signals = 0
    for matrix, (send,) in zip(circuit.matrices, circuit.sends, strict=True):
        rows, columns = matrix.shape.n_post, matrix.shape.n_pre
        weights += rows * columns
        signals += circuit.places(send.z) * (2 * rows + 3 * columns)
    return 4 * replicas * weights, 4 * replicas * signals


def resident(name):
    (line,) = (s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith(name))
    return int(line.split()[1]) * 1024


def taken(backend, replicas, answer):
    """Put the bytes that training takes, what the first updates keep for good included."""
    torch.set_num_threads(1)
    plan = planned()
    hooks = resolve_hooks(plan.selected)
    for count in (1, replicas):  # the first to load and to compile what all need
        parameters = initial_parameters(plan.network, list(range(count)))
        thetas = {r.name: torch.full((count,), r.theta) for r in plan.rules}
        x = torch.rand(SAMPLES, 784, generator=torch.Generator().manual_seed(0))
        targets = torch.eye(10)[torch.arange(SAMPLES) % 10]
        Path("/proc/self/clear_refs").write_text("5")  # the largest so far is that of now
        before = resident("VmRSS")
        made = backend(plan.network, hooks, thetas, parameters, x, targets, 1)
        made.advance(torch.arange(SAMPLES).expand(count, -1))
        answer.put(resident("VmHWM") - before)


def main(replicas=20):
    weights, signals = least(replicas)
    print(f"{replicas} networks: weights {weights / MIB:.1f} MiB, signals {signals / MIB:.1f} MiB")
    context = multiprocessing.get_context("spawn")
    for backend in (NativeBackend, EagerBackend):
        answer = context.Queue()
        process = context.Process(target=taken, args=(backend, replicas, answer))
        process.start()
        one, many = answer.get(), answer.get()
        process.join()
        share = many / (weights + signals)
        print(
            f"{backend.__name__}: {many / MIB:.1f} MiB, {share:.2f} times weights and signals "
            f"(one network before it: {one / MIB:.1f} MiB, loading and compiling among them)"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
