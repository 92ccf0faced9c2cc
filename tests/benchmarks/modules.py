"""A user's own LeNet by rules, beside the same loop with SGD: ratios of one run.

``python -m tests.benchmarks.modules [ROUNDS]``
"""

import statistics
import sys
import time

import torch
from torch.nn import functional

from plastic_core import Plasticity
from plastic_core.results.environment import environment
from tests.modules.models import LeNet, mini_batch

RULES = ("0.01*bp", "0.01*bp + 1e-4*oja", "0.01*fa + 1e-4*oja")


def loops(x, y):
    """Return what does one step, by name."""
    model = LeNet()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)

    def by_sgd():
        optimiser.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    def by_rule(rule):
        own = LeNet()
        plasticity = Plasticity(own, rule)
        return lambda: plasticity.step(functional.cross_entropy(own(x), y))

    return {"SGD": by_sgd, **{rule: by_rule(rule) for rule in RULES}}


def seconds(step, count):
    """Return the seconds of one step."""
    step()
    begun = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - begun) / count


def main():
    """Print the median times, and how many times as long as SGD each takes."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    print(environment(None)["processor"], f"{torch.get_num_threads()} threads")
    for batch, count in ((1, 100), (64, 10)):
        taken = {name: [] for name in loops(*mini_batch(batch, dtype=torch.float32))}
        steps = loops(*mini_batch(batch, dtype=torch.float32))
        for _ in range(rounds):
            for name, step in steps.items():
                taken[name].append(seconds(step, count))
        for name, own in taken.items():
            ratios = [mine / sgd for mine, sgd in zip(own, taken["SGD"], strict=True)]
            print(
                f"batch {batch:2} {name:20} {statistics.median(own) * 1e6:9,.0f} us  "
                f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
            )


if __name__ == "__main__":
    main()
