"""Every transform is called once on a small random increment, before training begins."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from plastic_core.api.increment import Increment
from plastic_core.api.plugin import Transform
from plastic_core.api.specs import Sizes
from plastic_core.base.errors import PlasticError, describe_exception, listing
from plastic_core.hooks.trial import leaves, same
from plastic_core.hooks.tried_signals import POST, PRE, REPLICAS, kind_of


def trial_increment(transform: Transform, dtype: torch.dtype) -> Increment:
    """Return a small random increment, such as a transform is tried with; all sizes differ."""
    source = torch.Generator().manual_seed(0)
    increment, weight = torch.rand(2, REPLICAS, POST, PRE, generator=source, dtype=dtype)
    sizes = Sizes(POST, PRE, POST, POST)
    states = {
        name: torch.rand(REPLICAS, *kind.shape(sizes), generator=source, dtype=dtype)
        if isinstance(kind.initial, str)
        else torch.full((REPLICAS, *kind.shape(sizes)), kind.initial, dtype=dtype)
        for name, kind in transform.spec.state.items()
    }
    return Increment(increment, weight, SimpleNamespace(**states))


def try_transform(transform: Transform, function: Callable[[Any], Any]) -> bool:
    """Try a transform on small random tensors; return whether it gives the same when called again.

    Raises:
        PlasticError: it raises, modifies what it is given, or returns a wrong shape.
    """
    given = trial_increment(transform, torch.float32)
    increment, weight = given.increment, given.weight
    before = increment.clone(), weight.clone()
    what = f"the transform '{transform.spec.name}': plastic_transform_update"
    drawn = torch.get_rng_state()
    try:
        result = function(given)
        alike = all(map(same, leaves(result), leaves(function(given))))
        if transform.spec.state:
            result, new = result
            if new.keys() != transform.spec.state.keys():
                raise ValueError(f"the states {listing(new)} were returned")
            for name, value in new.items():
                found, expected = list(value.shape), list(getattr(given.state, name).shape)
                if found != expected:
                    raise ValueError(f"the state '{name}' became {found} in place of {expected}")
    except Exception as error:
        raise PlasticError(f"{what} raised {describe_exception(error)}") from error
    if not (torch.equal(before[0], increment) and torch.equal(before[1], weight)):
        raise PlasticError(f"{what} modifies its input in place; return the new increment")
    if not isinstance(result, Tensor) or result.shape != weight.shape:
        shape = list(result.shape) if isinstance(result, Tensor) else kind_of(result)
        raise PlasticError(
            f"{what} returned {shape}; expected the new increment, here {list(weight.shape)}"
        )
    return alike and torch.equal(drawn, torch.get_rng_state())
