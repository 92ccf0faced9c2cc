"""Networks side by side on a GPU: the backends beside a batched loop in plain PyTorch.

``python -m tests.benchmarks.gpu`` prints a table; ``--device cpu`` tries it at a small size. For
each case: updates a second of all networks together, the share of the device's memory bandwidth
that they would take if each weight were read once and written once an update, and how many times
as fast as the first contender: the plain loop, or without one, eager. Beside the networks of the
paper stand a convolutional and a recurrent one, and a rule with noise and states.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from plastic_core import RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import Rule, RuleSpec, State, Theta, hookimpl, outer
from plastic_core.backends.backend import Backend
from plastic_core.backends.compiled.compiled_backend import CannotCompileError, CompiledBackend
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.bench.case import BP, OJA, RULE, Case
from plastic_core.circuits.network import circuit_of
from plastic_core.networks.parameters import Parameters, add_states
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue

NETWORKS = (20, 1_000, 10_000)
LAYERS = (5, 10)


class Wider(Rule):
    """Noise in the activity, and a threshold that follows it."""

    spec = RuleSpec(
        name="wider",
        summary="of the benchmark",
        equation="(y + n) (y - t) x",
        reference="none",
        modifies="forward",
        reads={"pre", "post"},
        theta=Theta(default=1e-5),
        noise={"post"},
        state={"threshold": State(over="post")},
    )

    @hookimpl
    def plastic_local_update(self, s):
        change = 0.1 * (s.post.mean(1, keepdim=True) - s.state.threshold)
        row = (s.post + s.noise.post) * (s.post - s.state.threshold)
        return outer(row, s.pre), {"threshold": s.state.threshold + change}


NET = "conv 16 5x5 / pool 2 / conv 32 5x5 / pool 2"
OTHERS = {
    "convolution": RunSpec(rule="0.01*bp+1e-6*oja", task="mnist-cnn", options={"net": NET}),
    "recurrent": RunSpec(rule="0.0008*bp+0.0003*oja", task="delayed-mnist-rnn"),
    "wider": RunSpec(rule="bp+wider", task="mnist-mlp"),
}


@dataclass(frozen=True)
class Other:
    """Another run than those of `Case`, on random points too."""

    spec: RunSpec
    replicas: int
    inputs: torch.Tensor
    labels: torch.Tensor

    @property
    def targets(self):
        return torch.eye(10)[self.labels]

    @property
    def plan(self):
        return make_plan(self.spec, Catalogue(rules=[Wider]))

    @property
    def network(self):
        return self.plan.network

    def resolved(self):
        plan = self.plan
        thetas = {rule.name: rule.theta for rule in plan.rules}
        return resolve_hooks(plan.selected, circuit=plan.circuit), thetas

    def order(self, updates):
        source = torch.Generator().manual_seed(1)
        return torch.randint(0, len(self.inputs), (self.replicas, updates), generator=source)


#: Seeds that are drawn; more networks are copies of these, for drawing takes longest.
DRAWN = 20


class PlainLoop:
    """Online BP+Oja of R networks by batched products, as a user of PyTorch writes it."""

    def __init__(self, weights, inputs, labels):
        self.weights, self.inputs = weights, inputs
        self.targets = torch.eye(10, device=inputs.device)[labels]

    def advance(self, order):
        """Train on the points of ``[R, updates]``."""
        with torch.no_grad():
            for points in order.T:
                ys = [self.inputs[points].unsqueeze(1)]
                for weight in self.weights[:-1]:
                    ys.append(F.softplus(torch.bmm(ys[-1], weight.mT), 10))
                ys.append(torch.softmax(torch.bmm(ys[-1], self.weights[-1].mT), -1))
                error = ys[-1] - self.targets[points].unsqueeze(1)
                for weight, pre, post in zip(
                    reversed(self.weights), ys[-2::-1], ys[:0:-1], strict=True
                ):
                    below = torch.bmm(error, weight) * (1 - torch.exp(-10 * pre))
                    rest = pre - torch.bmm(post, weight)
                    left = torch.cat((-BP * error, OJA * post), 1)
                    weight.baddbmm_(left.mT, torch.cat((pre, rest), 1))
                    error = below


def copies(case, device):
    """Return R networks, those of the first seeds over and over."""
    drawn = initial_parameters(case.network, range(min(case.replicas, DRAWN)))
    times = -(-case.replicas // DRAWN)
    weights = [w.repeat(times, 1, 1)[: case.replicas].to(device) for w in drawn.weights]
    return Parameters(weights, [], seeds=tuple(range(case.replicas)))


def contenders(case, device):
    """Yield name and maker of each."""
    hooks, thetas = case.resolved()
    inputs, targets = case.inputs.to(device), case.targets.to(device)
    columns = {r: torch.full((case.replicas,), t, device=device) for r, t in thetas.items()}

    def ours(backend):
        def make() -> Backend:
            parameters = copies(case, device)
            add_states(parameters, hooks)
            return backend(case.network, hooks, columns, parameters, inputs, targets, 1)

        return make

    if isinstance(case, Case):
        yield "plain loop", lambda: PlainLoop(copies(case, device).weights, inputs, case.labels)
    yield "eager", ours(EagerBackend)
    yield "compiled", ours(CompiledBackend)


def rate(made, case, device, seconds):
    """Return updates a second of all networks, measured over about `seconds`."""
    place = device if isinstance(made, PlainLoop) else "cpu"
    count = 8
    made.advance(case.order(count).to(place))
    while True:
        order = case.order(count).to(place)
        _wait(device)
        begun = time.perf_counter()
        made.advance(order)
        _wait(device)
        took = time.perf_counter() - begun
        if took > seconds / 2 or count >= 4096:
            return case.replicas * count / took
        count *= 2


def bandwidth(device, megabytes):
    """Return bytes a second of a copy, what is read and what is written."""
    source = torch.zeros(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    best = 0.0
    for _ in range(5):
        _wait(device)
        begun = time.perf_counter()
        target.copy_(source)
        _wait(device)
        best = max(best, 2 * source.numel() * 4 / (time.perf_counter() - begun))
    return best


def _wait(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--networks", type=int, nargs="+", help="side by side, by default 20 to 10,000"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--limit", type=float, default=200.0, help="seconds after which to stop")
    flags = parser.parse_args()
    begun, small = time.monotonic(), flags.device == "cpu"
    if small:
        torch.set_num_threads(1)
    card = "CPU" if small else torch.cuda.get_device_name(flags.device)
    width = bandwidth(flags.device, 64 if small else 2048)
    print(f"{card}, torch {torch.__version__}; memory {width / 1e9:,.0f} GB/s, read and written")
    print(
        f"{'case':>11} {'networks':>8} {'contender':>10} {'updates/s':>12} {'of memory':>9}  times first"
    )
    for replicas in flags.networks or ((2, 5) if small else NETWORKS):
        paper = [Case.make(RULE, layers, replicas) for layers in LAYERS]
        data = paper[0].inputs, paper[0].labels
        cases = {f"{case.depth} layers": case for case in paper}
        cases |= {name: Other(spec, replicas, *data) for name, spec in OTHERS.items()}
        for name, case in cases.items():
            bytes_each = sum(
                8 * m.shape.n_post * m.shape.n_pre for m in circuit_of(case.network).matrices
            )
            first = None
            for contender, make in contenders(case, flags.device):
                row = f"{name:>11} {replicas:>8,} {contender:>10}"
                if time.monotonic() - begun > flags.limit:
                    print(f"{row}  left out: {flags.limit:g} s are over")
                    continue
                try:
                    found = rate(make(), case, flags.device, flags.seconds)
                except (CannotCompileError, torch.OutOfMemoryError) as error:
                    print(f"{row}  {type(error).__name__}: {str(error).splitlines()[0]}")
                    continue
                first = first or found
                print(
                    f"{row} {found:>12,.0f} {found * bytes_each / width:>9.1%}  {found / first:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
