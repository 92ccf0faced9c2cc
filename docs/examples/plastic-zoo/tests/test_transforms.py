"""Transforms equal their equations written out, and do what they are for."""

import numpy as np
import pytest
import torch
from plastic_zoo.dale import Dale
from plastic_zoo.rewiring import Rewiring
from plastic_zoo.synaptic_intelligence import SynapticIntelligence

from plastic_core import Engine, NetworkSpec, RunSpec, initial_parameters, resolve_hooks, run
from plastic_core.testing import TransformConformance
from plastic_rules.bp import Backprop
from plastic_tasks.datasets import load_digits


def decayed(transform, theta, settings, updates):
    """Return the parameters of a network after weight decay, which no data decide, by name."""
    name = transform.spec.name
    spec = RunSpec(
        rule=f"{theta}*weight-decay",
        task="digits-mlp",
        options={"sizes": [64, 5, 10]},
        transforms=(name,),
        settings={name: settings},
        samples=updates,
        dtype="float64",
        readout="none",
    )
    named = run(spec, transforms=[transform]).parameters.named()
    return {key: value[0].numpy() for key, value in named.items()}


def digits_learned(transform, settings, expression="0.1*bp"):
    """Return the result of networks with a hidden layer that learn the digits."""
    name = transform.spec.name
    spec = RunSpec(
        rule=expression,
        task="digits-mlp",
        options={"net": "dense 40"},
        transforms=(name,),
        settings={name: settings},
        seeds=2,
        samples=2000,
        evaluations=4,
    )
    return run(spec, transforms=[transform])


class TestDale(TransformConformance):
    transform = Dale

    def largest_difference(self):
        """Weights have their column's sign, and the size that the loop gives them."""
        settings = {"inhibitory": 0.5}
        after, worst = decayed(Dale, 0.03, settings, 20), 0.0
        for p in (1, 2):
            drawn = after[f"state.dale.forward.{p}.drawn"].flatten()
            begun = decayed(Dale, 0, {"layers": 3 - p}, 1)  # this layer as it was drawn
            old, new = begun[f"weight.{p}"], after[f"weight.{p}"]
            for (i, j), w in np.ndenumerate(old):
                sign = -1.0 if drawn[j] < 0 else 1.0
                for _ in range(20):
                    w = sign * max(0.0, abs(w) - sign * 0.03 * w)
                worst = max(worst, abs(w - new[i, j]))
        return worst

    def test_equals_its_slow_reference(self):
        assert self.largest_difference() < 1e-12


def test_units_keep_to_dales_law_and_learn():
    result = digits_learned(Dale, {}, "0.02*bp")
    loss = result.curves["loss"].mean("seed").to_numpy()
    assert loss[-1] < 0.5 * loss[0]
    for weight in result.parameters.weights:
        negative, positive = (weight < 0).any(1), (weight > 0).any(1)
        assert not (negative & positive).any()
        assert 0.05 < negative.double().mean() < 0.4


class TestRewiring(TransformConformance):
    transform = Rewiring

    def queued(self, weight, place, updates, every):
        """Return a matrix that decays, by a list of its connections in the order of a queue."""
        drawn, weight = weight.flatten(), 0 * weight.flatten()
        queue = list(np.argsort(-place.flatten()))
        existing = round(0.2 * len(queue))
        weight[queue[:existing]] = drawn[queue[:existing]]
        for update in range(1, updates + 1):
            weight *= 0.97
            if update % every == 0:
                sizes = {k: abs(weight[k]) for k in queue[:existing]}
                weakest = sorted(sizes.values())[round(0.3 * existing) - 1]
                ended = [k for k in sizes if sizes[k] <= weakest]
                weight[ended] = 0
                queue = [k for k in queue if k not in ended] + ended
        return weight

    def largest_difference(self):
        after, worst = decayed(Rewiring, 0.03, {"every": 9}, 40), 0.0
        for p in (1, 2):
            begun = decayed(Rewiring, 0, {"layers": 3 - p}, 1)  # this layer as it was drawn
            place = decayed(Rewiring, 0, {}, 1)[f"state.rewiring.forward.{p}.place"]
            slow = self.queued(begun[f"weight.{p}"], place, 40, 9)
            worst = max(worst, abs(slow - after[f"weight.{p}"].flatten()).max())
        return worst

    def test_equals_its_slow_reference(self):
        assert self.largest_difference() < 1e-12


def test_connections_that_move_learn_more_than_those_that_stay():
    moved = digits_learned(Rewiring, {})
    stayed = digits_learned(Rewiring, {"every": 10**6})
    for result in (moved, stayed):
        for weight in result.parameters.weights:
            share = (weight != 0).double().mean((1, 2))
            assert (share <= 0.2).all()  # those that have just begun are 0
    losses = [one.curves["loss"].isel(step=-1).mean() for one in (moved, stayed)]
    assert losses[0] < losses[1]


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
