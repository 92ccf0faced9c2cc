"""Transforms equal their equations written out, and do what they are for."""

import numpy as np
import pytest
import torch
from plastic_zoo.synaptic_intelligence import SynapticIntelligence

from plastic_core import Engine, NetworkSpec, RunSpec, initial_parameters, resolve_hooks, run
from plastic_core.testing import TransformConformance
from plastic_rules.bp import Backprop
from plastic_tasks.datasets import load_digits


class TestSynapticIntelligence(TransformConformance):
    transform = SynapticIntelligence

    def reference(self, weight, rule, updates, strength, damping, every):
        """Return a weight after some updates of a rule, a function of the weight."""
        path = importance = 0.0
        held = weight
        for update in range(1, updates + 1):
            increment = rule(weight)
            change = increment + 2 * strength * importance * (held - weight)
            path += increment * change
            weight += change
            if update % every == 0:
                importance += path / ((weight - held) ** 2 + damping)
                held, path = weight, 0.0
        return weight

    def trained(self, backend="native"):
        """Return weights before and after training, and as the loop has them, in float64.

        What learns is weight decay, which no data decide, for several tasks and a part of one.
        """
        settings, ends = {"strength": 0.4, "damping": 0.01, "every": 7}, []
        for theta in (0, 0.03):
            spec = RunSpec(
                rule=f"{theta}*weight-decay",
                task="digits-mlp",
                options={"sizes": [64, 5, 10]},
                transforms=("synaptic-intelligence",),
                settings={"synaptic-intelligence": settings},
                samples=40,
                dtype="float64",
                backend=backend,
            )
            weights = run(spec, transforms=[SynapticIntelligence]).parameters.weights
            ends.append(np.concatenate([w.flatten() for w in weights]))
        slow = [self.reference(w, lambda w: -0.03 * w, 40, **settings) for w in ends[0]]
        return *ends, np.array(slow)

    def largest_difference(self):
        _, after, slow = self.trained()
        return np.abs(after - slow).max()

    @pytest.mark.parametrize("backend", ["eager", "native"])
    def test_equals_its_slow_reference(self, backend):
        before, after, slow = self.trained(backend)
        np.testing.assert_allclose(after, slow, rtol=1e-12, atol=1e-14)
        # without it
        assert not np.allclose(after, 0.97**40 * before, rtol=0.01)


def test_what_was_learned_first_is_kept():
    """Digits, then the same with their pixels in another order."""
    data, count = load_digits(), 600
    inputs = torch.from_numpy(data.inputs[:count]).reshape(count, 1, 1, 64)
    target = torch.eye(10)[torch.from_numpy(data.labels[:count])].reshape(count, 1, 1, 10)
    held_out, labels = torch.from_numpy(data.held_out_inputs)[None], data.held_out_labels
    orders = torch.arange(64), torch.randperm(64, generator=torch.Generator().manual_seed(0))
    network = NetworkSpec(sizes=(64, 40, 10))

    def accuracies(strength):
        """Return those of both tasks after the second."""
        transform = SynapticIntelligence()
        transform.params = transform.spec.params(strength=strength, damping=0.1, every=count)
        hooks = resolve_hooks([(Backprop(), frozenset({0, 1}))], [transform])
        engine = Engine(network, hooks, {"bp": 0.05}, initial_parameters(network, [0], None))
        for order in orders:
            for x, wanted in zip(inputs, target, strict=True):
                engine.step(x[..., order], wanted)
        outputs = [engine.activities(held_out[..., order], 0)[-1][0] for order in orders]
        return [(output.argmax(1).numpy() == labels).mean() for output in outputs]

    (forgotten, _), (kept, second) = accuracies(0.0), accuracies(0.1)
    assert kept > forgotten + 0.15
    assert second > 0.7
