"""Small engines for the tests, built through the same functions as every run."""

import torch

from plastic_core import Engine, RunSpec, initial_parameters, resolve_hooks
from plastic_core.networks.parameters import add_states
from plastic_core.plan.plan import make_plan
from plastic_core.plugins.catalogue import Catalogue


def resolve(
    rule,
    sizes,
    *,
    seeds=1,
    dtype="float64",
    rules=(),
    transforms=(),
    transform_classes=(),
    settings=None,
    **options,
):
    """Return the plan, the hooks and the initial parameters."""
    spec = RunSpec(
        rule=rule,
        seeds=seeds,
        dtype=dtype,
        transforms=transforms,
        settings=settings or {},
        options={**({} if "net" in options else {"sizes": list(sizes)}), **options},
    )
    plan = make_plan(spec, Catalogue(rules=rules, transforms=transform_classes))
    kind = getattr(torch, dtype)
    hooks = resolve_hooks(
        plan.selected,
        [t.transform for t in plan.transforms],
        kind,
        circuit=plan.circuit,
    )
    parameters = initial_parameters(plan.network, spec.seed_list, hooks.feedback, kind)
    add_states(parameters, hooks)
    return plan, hooks, parameters


def build_engine(rule, sizes, **arguments):
    """Return an engine, its plan and a copy of its initial parameters."""
    plan, hooks, parameters = resolve(rule, sizes, **arguments)
    engine = Engine(plan.network, hooks, {r.name: r.theta for r in plan.rules}, parameters)
    before = {name: value.clone() for name, value in parameters.named().items()}
    return engine, plan, before


def random_points(replicas, steps, batch, sizes, dtype=torch.float64, seed=0):
    """Return inputs ``[steps, R, K, n_0]`` in [0, 1] and one-hot targets ``[steps, R, K, n_L]``."""
    source = torch.Generator().manual_seed(seed)
    x = torch.rand(steps, replicas, batch, sizes[0], generator=source, dtype=torch.float64)
    labels = torch.randint(0, sizes[-1], (steps, replicas, batch), generator=source)
    return x.to(dtype), torch.eye(sizes[-1], dtype=dtype)[labels]
