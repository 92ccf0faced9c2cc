"""What belongs to samples or populations, where the events of a projection are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from plastic_core.api.circuit import Circuit, Node
from plastic_core.api.maps import Map


def repeating(
    circuit: Circuit,
    errors: Sequence[Node],
    samples: int,
    value: Tensor,
    of_sample: Callable[[], Tensor],
) -> Callable[[], None]:
    """Return what writes a signal of samples where it belongs.

    Where a network answers at each step, each event has what belongs to its own step.

    Args:
        circuit: the network.
        errors: whose gradients the projection reads, step by step.
        samples: in the mini-batch.
        value: ``[R, K, n]``, where it is written.
        of_sample: gives it, ``[R, samples, n]``, or with as many places as there are answers.
    """
    replicas, rows, units = value.shape
    at_each = value.view(replicas, len(errors), samples, rows // (len(errors) * samples), units)
    by_answer = [replicas, samples, circuit.answers, units]
    begin = errors[0].step if circuit.answers > 1 else 0

    def repeat() -> None:
        by_step = of_sample().view(by_answer).transpose(1, 2)[:, begin:]
        at_each.copy_(by_step.unsqueeze(3))

    return repeat


def laid_out(value: Tensor, layouts: Sequence[Map]) -> Tensor:
    """Return what belongs to a population, laid out as a projection sends it."""
    for layout in layouts:
        value, _ = layout.forward(value)
    return value
