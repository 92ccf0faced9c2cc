"""What networks take over from a finished run when they learn on."""

from __future__ import annotations

from plastic_core.base.errors import PlasticError
from plastic_core.networks.parameters import Parameters
from plastic_core.plan.parent import WEIGHTS_FILE, Parent
from plastic_core.results.tensor_file import read_tensors


def inherit(parameters: Parameters, parent: Parent, others: bool) -> list[str]:
    """Put the parent's weights, feedback and states in place of new ones, by seed and name.

    What the parent does not have, or has of another shape, begins anew; the last layer does where
    something else is predicted.

    Args:
        parameters: of new networks.
        parent: the run.
        others: whether other classes or numbers are predicted, so that the last layer and its
            biases begin anew.

    Returns:
        What is to be noted.

    Raises:
        PlasticError: the file is damaged, or no matrix of weights fits.
    """
    rows = parent.rows(parameters.seeds)
    stored = read_tensors(parent.folder / WEIGHTS_FILE)
    anew, rounded = [], False
    depth = len(parameters.weights) - len(parameters.biased)
    last = (f"weight.{depth}", f"bias.{depth}") if others else ()
    for name, tensor in parameters.named().items():
        there = stored.get(name)
        if name in last or there is None or there.shape != (len(parent.seeds), *tensor.shape[1:]):
            anew.append(name)
            continue
        rounded |= there.dtype != tensor.dtype
        tensor.copy_(there[rows])
    taken = parameters.named().keys() - anew
    if not any(name.startswith("weight.") for name in taken):
        raise PlasticError(
            f"--from {parent.folder}: no weights of this run fit the network, whose first are "
            f"{[*parameters.weights[0].shape[1:]]}; take the network of that run"
        )
    notes = [f"begun with the networks of {parent.folder}, after {parent.samples:,} points"]
    if anew:
        why = "of something else that is predicted, not there, or of another shape"
        notes.append(f"begun anew, being {why} in {parent.folder}: {', '.join(anew)}")
    if diverged := [seed for seed in parameters.seeds if seed in parent.diverged]:
        seeds = ", ".join(map(str, diverged))
        notes.append(f"diverged in {parent.folder}: the networks of the seeds {seeds}")
    if rounded:
        notes.append(f"the numbers of {parent.folder} are of another precision, and were rounded")
    return notes
