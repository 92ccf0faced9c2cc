"""What noise, products, states and passes cost a rule: the same rule with and without, on one core.

Run by hand: ``python -m tests.benchmarks.contract``. The network is the paper's of 5 layers, one
of it; ratios are taken within rounds.
"""

from __future__ import annotations

import statistics
import time

import torch

from plastic_core import RunSpec, initial_parameters, resolve_hooks
from plastic_core.api import Rule, RuleSpec, State, Theta, hookimpl, outer
from plastic_core.backends.eager.eager_backend import EagerBackend
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.networks.parameters import add_states
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue

ROUNDS, POINTS = 9, 400
SIZES = (784, 170, 130, 100, 70, 10)


def rule_of(called, update, **more):
    class Made(Rule):
        spec = RuleSpec(
            name=called,
            summary="of a benchmark",
            equation="x",
            reference="none",
            modifies="forward",
            reads={"pre", "post", "error"},
            theta=Theta(default=1e-3),
            **more,
        )

        @hookimpl
        def plastic_local_update(self, s):
            return update(s)

    return Made


def averaged(s):
    mean = 0.99 * s.state.mean + 0.01 * s.post.mean(1, keepdim=True)
    return outer((s.post - mean) * 1e-3 - s.error, s.pre), {"mean": mean}


def traced(s):
    trace = 0.9 * s.state.trace + torch.bmm(s.post.mT, s.pre)
    return outer(-s.error, s.pre) + 1e-4 * trace, {"trace": trace}


def lateral(s):
    together = s.state.lateral + 1e-3 * torch.bmm(s.post.mT, s.post)
    return outer(1e-3 * torch.bmm(s.post, s.state.lateral) - s.error, s.pre), {"lateral": together}


def shown_twice(s):
    first, second = s.passes
    return outer(1e-3 * second.post - first.error, s.pre)


RULES = {
    "plain": rule_of("plain", lambda s: -outer(s.error, s.pre)),
    "noise-post": rule_of(
        "noise-post", lambda s: -outer(s.error + 1e-3 * s.noise.post, s.pre), noise={"post"}
    ),
    "noise-pre": rule_of(
        "noise-pre", lambda s: -outer(s.error, s.pre + 1e-3 * s.noise.pre), noise={"pre"}
    ),
    "noise-weight": rule_of(
        "noise-weight", lambda s: 1e-4 * s.noise.weight - outer(s.error, s.pre), noise={"weight"}
    ),
    "product": rule_of("product", lambda s: -outer(s.error + 1e-3 * s.forward(s.pre), s.pre)),
    "state-post": rule_of("state-post", averaged, state={"mean": State(over="post")}),
    "state-weight": rule_of("state-weight", traced, state={"trace": State(over="weight")}),
    "state-lateral": rule_of("state-lateral", lateral, state={"lateral": State(over="post*post")}),
    "passes": rule_of("passes", shown_twice, passes=2),
}


def updates_per_second(backend, name, x, target):
    sizes = {"sizes": list(SIZES)}
    spec = RunSpec(rule=f"0*bp + 0.001*{name}", task="mnist-mlp", options=sizes)
    plan = make_plan(spec, Catalogue(rules=[RULES[name]]))
    hooks = resolve_hooks(plan.selected, circuit=plan.circuit)
    parameters = initial_parameters(plan.network, [0], hooks.feedback)
    add_states(parameters, hooks)
    thetas = {rule.name: torch.full((1,), rule.theta) for rule in plan.rules}
    made = backend(plan.network, hooks, thetas, parameters, x, target, 1)
    order = torch.arange(len(x)).expand(1, -1)
    made.advance(order[:, :4])
    begun = time.perf_counter()
    made.advance(order)
    return len(x) / (time.perf_counter() - begun)


def main():
    torch.set_num_threads(1)
    source = torch.Generator().manual_seed(0)
    x = torch.rand(POINTS, SIZES[0], generator=source)
    target = torch.eye(SIZES[-1])[torch.randint(SIZES[-1], (POINTS,), generator=source)]
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for name in RULES:
            speed = updates_per_second(EagerBackend, name, x, target)
            found.setdefault(("eager", name), []).append(speed)
        for name in RULES:
            speed = updates_per_second(NativeBackend, name, x, target)
            found.setdefault(("native", name), []).append(speed)
    print(f"{'backend':8} {'rule':14} {'updates/s':>10} {'of plain':>9} {'of eager':>9}")
    for (backend, name), speeds in found.items():
        others = found[backend, "plain"], found["eager", name]
        ratios = [
            statistics.median(one / other for one, other in zip(speeds, each, strict=True))
            for each in others
        ]
        shown = " ".join(f"{ratio:9.2f}" for ratio in ratios)
        print(f"{backend:8} {name:14} {statistics.median(speeds):10,.0f} {shown}")


if __name__ == "__main__":
    main()
