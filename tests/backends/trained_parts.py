"""What every backend is made of, and how two of them are compared."""

import torch

from tests.building import resolve

POINTS = 200


def make(
    backend, rule, sizes, *, seeds=1, batch=1, dtype="float32", more=None, thetas=None, **arguments
):
    """Return a backend of the class `backend`, and its parameters.

    `more` are further arguments of the backend, `thetas` differ between replicas; the rest is
    that of `resolve`.
    """
    plan, hooks, parameters = resolve(rule, sizes, seeds=seeds, dtype=dtype, **arguments)
    kind = getattr(torch, dtype)
    thetas = thetas or {r.name: torch.full((seeds,), r.theta, dtype=kind) for r in plan.rules}
    source = torch.Generator().manual_seed(0)
    x = torch.rand(POINTS, sizes[0], generator=source, dtype=torch.float64).to(kind)
    labels = torch.randint(0, sizes[-1], (POINTS,), generator=source)
    targets = torch.eye(sizes[-1], dtype=kind)[labels]
    made = backend(plan.network, hooks, thetas, parameters, x, targets, batch, **(more or {}))
    return made, parameters


def order(seeds, samples, seed=0):
    """Return training points ``[seeds, samples]``."""
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, POINTS, (seeds, samples), generator=source)


def assert_same(ours, reference, tolerance):
    """Compare all parameters, relative to the largest of each tensor."""
    for name, value in reference.named().items():
        difference = (ours.named()[name] - value).abs().max()
        largest = value.abs().max().clamp_min(1e-3)
        assert difference <= tolerance * largest, f"{name}: {difference / largest:.2g}"
