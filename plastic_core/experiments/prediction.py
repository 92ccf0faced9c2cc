"""What trained networks answer to points in a file, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plastic_core.base.errors import PlasticError
from plastic_core.training.arrays import names_of
from plastic_core.training.data_file import DataFile, listed, read_table
from plastic_core.training.trained_networks import TrainedNetworks

if TYPE_CHECKING:
    import pandas as pd


class Prediction(NamedTuple):
    """What networks answer to the points of a file.

    Attributes:
        table: a row for each point: what all answer together, how far they agree, and each.
        notes: how good it is, where the file says what is to be predicted; what was left out.
    """

    table: pd.DataFrame
    notes: list[str]


def predict(networks: TrainedNetworks, path: str) -> Prediction:
    """Return what networks answer to the points of a file; those that diverged are not asked.

    Args:
        networks: of a run.
        path: of a table, of arrays, or of a folder of images.

    Raises:
        PlasticError: it cannot be read, or does not fit the networks; or all of them diverged.
    """
    columns = networks.data.columns if networks.data else ()
    tabular = Path(path).suffix.lower() in (".csv", ".parquet")
    named = tabular or Path(path).suffix.lower() == ".npz"
    target = networks.data.target if networks.data and named else ()
    found = read_table(path, target, columns=columns if tabular else ())
    notes = [*found.notes]
    if found.held_out is not None:
        notes.append(
            f"the {len(found.inputs):,} points to train on come first, then the "
            f"{len(found.held_out[0]):,} that are held out"
        )
        x, y = zip((found.inputs, found.labels), found.held_out, strict=True)
        found = replace(found, inputs=np.concatenate(x), labels=np.concatenate(y))
    if networks.plan.judged_by_readout:
        notes.append(
            "the score of this run was that of a readout, which is not kept; these are the "
            "networks' own outputs"
        )
    seeds = [seed for seed in networks.seeds if seed not in networks.diverged]
    if not seeds:
        raise PlasticError(
            "all of these networks diverged; train them with smaller thetas, or --scale standard"
        )
    if gone := [seed for seed in networks.seeds if seed not in seeds]:
        notes.append(f"left out, for they diverged: the seeds {', '.join(map(str, gone))}")
    try:
        answers = networks.of(*seeds).predict(found.inputs)
    except PlasticError as error:
        raise PlasticError(f"{path}: {str(error).removeprefix('data: ')}") from None
    if networks.predicts == "classes" and answers.ndim == 2:
        table = _of_classes(seeds, answers)
        notes += _accuracy(networks, answers, found)
    elif networks.predicts == "numbers" and answers.ndim == 3:
        table = _of_numbers(seeds, answers, target)
        notes += _explained(answers, found)
    else:
        raise PlasticError(
            f"{path}: these networks answer at each step, which is no table; predict in Python: "
            "plastic_core.load(RUN).networks.predict(X)"
        )
    if found.names:
        table.insert(0, "file", found.names)
    return Prediction(table, notes)


def _of_classes(seeds: Sequence[int], answers: NDArray[Any]) -> pd.DataFrame:
    import pandas as pd

    kinds, which = np.unique(answers, return_inverse=True)
    which = which.reshape(answers.shape)
    votes = np.stack([(which == kind).sum(0) for kind in range(len(kinds))])
    table = {"prediction": kinds[votes.argmax(0)]}
    if len(answers) > 1:
        table["agreement"] = votes.max(0) / len(answers)
        table |= {f"seed_{seed}": one for seed, one in zip(seeds, answers, strict=True)}
    return pd.DataFrame(table)


def _of_numbers(
    seeds: Sequence[int], answers: NDArray[Any], target: tuple[str, ...]
) -> pd.DataFrame:
    import pandas as pd

    table, count = {}, answers.shape[2]
    for place in range(count):
        name = target[place] if count == len(target) else str(place + 1)
        end = f"_{name}" if count > 1 else ""
        each = answers[:, :, place]
        table[f"prediction{end}"] = each.mean(0)
        if len(answers) > 1:
            table[f"std{end}"] = each.std(0)
            table |= {f"seed_{seed}{end}": one for seed, one in zip(seeds, each, strict=True)}
    return pd.DataFrame(table)


def _explained(answers: NDArray[Any], found: DataFile) -> Iterator[str]:
    """Yield how close the mean of all networks comes, where the numbers are there."""
    if found.labels is None:
        return
    given = np.asarray(found.labels, float).reshape(len(found.labels), -1)
    spread = np.square(given - given.mean(0)).sum()
    if given.shape == answers.shape[1:] and spread > 0:
        left = np.square(given - answers.mean(0)).sum()
        yield f"r2 at the {len(given):,} points of the file: {1 - left / spread:.3f}"


def _accuracy(networks: TrainedNetworks, answers: NDArray[Any], found: DataFile) -> Iterator[str]:
    """Yield how often networks are right in the mean, where labels are there."""
    if found.labels is None:
        return
    given = [names_of(label) for label in np.asarray(found.labels).tolist()]
    first, last = (np.array([names[end] for names in given]) for end in (0, -1))
    said = answers.astype(str)
    right = (said == first) | (said == last)
    yield f"accuracy at the {len(given):,} points of the file: {100 * np.mean(right):.2f}%"
    known = networks.labels or tuple(map(str, range(networks.plan.network.ends[1])))
    if unknown := sorted({names[0] for names in given if not {*names} & {*known}}):
        yield f"labels that the networks do not know: {listed(unknown, 10)}"
