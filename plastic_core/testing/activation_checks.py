"""What every activation function must keep to: each check returns the faults that it found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.api.activation import Activation
from plastic_core.base.fault import Fault
from plastic_core.testing.tried import tried

Check = Callable[[type[Activation]], list[Fault]]

_EXAMPLES: Final = {"apply": "return z.tanh()", "slope": "return 1 - y * y"}

_MODIFIES: Final = ("modifies what it is given", "expected a new tensor")


def check_shapes(activation: type[Activation]) -> list[Fault]:
    """Both methods return finite numbers of the shape and type of z, and modify nothing."""
    made, z = activation(), _points()
    before, faults = z.clone(), list[Fault]()
    y = _tried(faults, "apply", lambda: made.apply(z), z)
    if y is None:
        return faults
    if not torch.equal(z, before):
        return [_fault("apply", *_MODIFIES)]
    y_before = y.clone()
    # a comparison is the slope of relu
    _tried(faults, "slope", lambda: made.slope(z, y) * torch.ones_like(z), z)
    if not (torch.equal(z, before) and torch.equal(y, y_before)):
        faults.append(_fault("slope", *_MODIFIES))
    return faults


def check_elementwise(activation: type[Activation]) -> list[Fault]:
    """What becomes of one unit does not depend on the others."""
    made, z = activation(), _points()
    y = made.apply(z)
    slope = made.slope(z, y) * torch.ones_like(z)
    one = z[:1, :1, 2:3]
    alone = made.apply(one)
    slope_alone = made.slope(one, alone) * torch.ones_like(one)
    for name, whole, by_itself in (("apply", y, alone), ("slope", slope, slope_alone)):
        if not torch.allclose(whole[:1, :1, 2:3], by_itself, rtol=0, atol=1e-12):
            return [_fault(name, "depends on other units", "expected each unit by itself")]
    return []


def check_slope(activation: type[Activation]) -> list[Fault]:
    """The slope is the derivative, unless it is a surrogate, and reads what the spec says."""
    made, z = activation(), _points()
    spec = activation.spec
    if spec.slope_of == "y":
        y = made.apply(z)
        unknown = torch.full_like(z, torch.nan)
        if not torch.equal(made.slope(unknown, y) * 1.0, made.slope(z, y) * 1.0):
            accepted = "write slope_of='z' in the spec, or the slope as a function of y"
            return [_fault("slope", "reads z, and the spec says slope_of='y'", accepted)]
    if spec.surrogate:
        return []
    with torch.enable_grad():
        z.requires_grad_()
        (expected,) = torch.autograd.grad(made.apply(z).sum(), z)
    z = z.detach()
    off = (made.slope(z, made.apply(z)) * 1.0 - expected).abs().max().item()
    if not off <= 1e-8:
        found = f"is off the derivative of apply(z) by {off:.2g}"
        accepted = "expected the derivative, or surrogate=True in the spec"
        return [_fault("slope", found, accepted)]
    return []


#: In the order in which they are run; where the first finds something, the others cannot run.
ACTIVATION_CHECKS: Final[tuple[Check, ...]] = (check_shapes, check_elementwise, check_slope)


def _points() -> Tensor:
    """Return z of random points in float64, none of them where a slope may jump."""
    source = torch.Generator().manual_seed(0)
    return 2 * torch.randn(2, 7, 4, generator=source, dtype=torch.float64)


def _tried(faults: list[Fault], name: str, compute: Callable[[], Any], z: Tensor) -> Tensor | None:
    return tried(faults, partial(_fault, name), compute, tuple(z.shape), z.dtype)


def _fault(method: str, found: str, accepted: str) -> Fault:
    return Fault(method, found, accepted, _EXAMPLES[method])
