"""What every loss must keep to: each check returns the faults that it found."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor

from plastic_core.api.loss import Loss
from plastic_core.base.errors import describe_exception
from plastic_core.base.fault import Fault
from plastic_core.testing.tried import tried

Check = Callable[[type[Loss]], list[Fault]]

# Networks, samples and outputs; they all differ, so that nothing fits by chance.
_REPLICAS, _SAMPLES, _OUTPUTS = 2, 7, 4

_EXAMPLES: Final = {
    "output": "return z.softmax(-1)",
    "error": "return output - target",
    "value": "return (output - target).square().sum(-1) / 2",
    "score": "return (output.argmax(-1) == target.argmax(-1)).double().mean(-1)",
    "chance": "return 1 / target.shape[-1]",
}


def check_shapes(loss: type[Loss]) -> list[Fault]:
    """Every method returns finite numbers in the shape that is expected of it."""
    z, target = _points(loss)
    faults: list[Fault] = []
    whole, rows = (_REPLICAS, _SAMPLES, _OUTPUTS), (_REPLICAS, _SAMPLES)
    made = loss()
    output = _tensor(faults, "output", lambda: made.output(z), whole)
    if output is not None:
        _tensor(faults, "error", lambda: made.error(output, target), whole)
        _tensor(faults, "value", lambda: made.value(output, target), rows)
        _tensor(faults, "score", lambda: made.score(output, target), rows[:1])
    try:
        chance = made.chance(target[0])
        if not (isinstance(chance, float) and math.isfinite(chance)):
            faults.append(_fault("chance", f"returned {chance!r}", "expected a finite float"))
    except Exception as error:
        faults.append(_fault("chance", f"raised {describe_exception(error)}", "expected a float"))
    return faults


def check_error(loss: type[Loss]) -> list[Fault]:
    """`error` is the derivative of `value` by z, of each sample, as autograd finds it."""
    z, target = _points(loss)
    made = loss()
    with torch.enable_grad():
        z.requires_grad_()
        (expected,) = torch.autograd.grad(made.value(made.output(z), target).sum(), z)
    off = (made.error(made.output(z.detach()), target) - expected).abs().max().item()
    if not off <= 1e-9:
        found = f"is off the derivative of value(output(z)) by z by {off:.2g}"
        return [_fault("error", found, "expected dL/dz of each sample, which autograd gives")]
    return []


def check_purity(loss: type[Loss]) -> list[Fault]:
    """Nothing given is modified, and each network and sample is taken by itself."""
    z, target = _points(loss)
    made, whole = loss(), dict[str, Tensor]()
    output = made.output(z)
    given = (z, target, output)
    before = tuple(one.clone() for one in given)
    calls: dict[str, Callable[[], Tensor | float]] = {
        "output": lambda: made.output(z),
        "error": lambda: made.error(output, target),
        "value": lambda: made.value(output, target),
        "score": lambda: made.score(output, target),
        "chance": lambda: made.chance(target[0]),
    }
    for name, call in calls.items():
        result = call()
        if not all(map(torch.equal, given, before)):
            return [_fault(name, "modifies what it is given", "expected new tensors")]
        if isinstance(result, Tensor):
            whole[name] = result.clone()
    faults = []
    for name, all_of_it in whole.items():
        # the last network alone, and but for the score its last sample alone
        part = (slice(-1, None), slice(None) if name == "score" else slice(-1, None))
        alone, aim = made.output(z[part]), target[part]
        one = alone if name == "output" else getattr(made, name)(alone, aim)
        if not torch.allclose(one, all_of_it[part[: all_of_it.dim()]], rtol=1e-12, atol=1e-12):
            found = "gives other numbers for a network or sample alone than among others"
            faults.append(_fault(name, found, "expected each one by itself, the same each time"))
    return faults


#: In the order in which they are run; where the first finds something, the others cannot run.
LOSS_CHECKS: Final[tuple[Check, ...]] = (check_shapes, check_error, check_purity)


def _points(loss: type[Loss]) -> tuple[Tensor, Tensor]:
    """Return z_L and targets of random points, in float64."""
    source = torch.Generator().manual_seed(0)
    shape = (_REPLICAS, _SAMPLES, _OUTPUTS)
    z = torch.randn(*shape, generator=source, dtype=torch.float64)
    if loss.spec.targets == "numbers":
        return z, torch.randn(*shape, generator=source, dtype=torch.float64)
    labels = torch.randint(_OUTPUTS, shape[:2], generator=source)
    return z, torch.eye(_OUTPUTS, dtype=torch.float64)[labels]


def _tensor(
    faults: list[Fault], name: str, compute: Callable[[], Tensor], shape: tuple[int, ...]
) -> Tensor | None:
    return tried(faults, partial(_fault, name), compute, shape)


def _fault(method: str, found: str, accepted: str) -> Fault:
    return Fault(method, found, accepted, _EXAMPLES[method])
