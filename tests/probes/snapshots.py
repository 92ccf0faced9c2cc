"""Snapshots of small networks, and what built-in probes measure of them."""

import numpy as np
import torch

from plastic_core.api import Measure, Probe, ProbeSpec, hookimpl
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.probes.camera import Camera
from plastic_core.probes.probing import ask
from tests.building import resolve

EVALUATED, POINTS = 40, 15

BUILT_IN = {
    entry.name: entry.plugin
    for entry in Catalogue().entries("probe")
    if entry.distribution == "plastic-learning" and "feedforward" in entry.plugin.spec.networks
}

SMALL = {"samples": 60, "evaluations": 2, "options": {"sizes": [64, 12, 12, 10]}}
ALL = tuple(BUILT_IN)


class Photographed:
    """A block of untrained networks, with snapshots of them.

    Attributes:
        x: ``[M, n_0]`` and `target` ``[M, n_L]`` in NumPy.
        thetas: by rule, ``[R]``.
        seen: y_0 .. y_L of each network, on all points.
    """

    def __init__(self, rule, sizes, *, seeds=1, dtype="float32", factors=None, **arguments):
        plan, hooks, self.parameters = resolve(rule, sizes, seeds=seeds, dtype=dtype, **arguments)
        kind = getattr(torch, dtype)
        source = torch.Generator().manual_seed(0)
        x = torch.rand(EVALUATED, sizes[0], generator=source, dtype=torch.float64).to(kind)
        target = torch.eye(sizes[-1], dtype=kind)[
            torch.randint(sizes[-1], (EVALUATED,), generator=source)
        ]
        self.x, self.target = x.double().numpy(), target.double().numpy()
        scale = torch.tensor(factors or [1.0] * seeds, dtype=kind)
        self.thetas = {r.name: r.theta * scale for r in plan.rules}
        network = Evaluation(plan.network, hooks, self.parameters)
        camera = Camera(plan.network, hooks, self.parameters, self.thetas, target, POINTS)
        self.seen = [[y[0] for y in network.activities(x[None], r)] for r in range(seeds)]
        self._camera = camera
        self.sizes = {"layer": plan.circuit.depth, "rule": len(plan.rules)}

    def snapshot(self, *networks):
        """Return a snapshot of some networks; of the first, unless others are named."""
        networks = networks or (0,)
        self._camera.refresh()
        film = self._camera.film(len(networks))
        for network in networks:
            film.add(self.seen[network])
        return self._camera.take(networks, film, lambda network: self.seen[network])

    def measured(self, name, replica=0):
        """Return what a built-in probe measures of one network."""
        with torch.inference_mode():
            found = ask(BUILT_IN[name](), self.snapshot(replica), dict(self.sizes))
        return {measure: array[0] for measure, array in found.items()}

    def arrays(self, replica=0):
        """Return weights and feedback in NumPy's float64."""
        weights = [w[replica].double().numpy().copy() for w in self.parameters.weights]
        feedback = [b[replica].double().numpy().copy() for b in self.parameters.feedback]
        return weights, feedback or [np.zeros(w.shape[::-1]) for w in weights]


def probe_of(measure, **fields):
    """Return the class of a probe with one measure, unless its spec says otherwise."""

    class Mine(Probe):
        spec = ProbeSpec(
            **{
                "name": "mine",
                "summary": "of a test",
                "equation": "x",
                "reference": "none",
                "measures": {"mine": Measure(long_name="mine")},
                **fields,
            }
        )

        @hookimpl
        def plastic_measure(self, n):
            return measure(n)

    return Mine
