"""What trained networks answer to points in a file, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plastic_core.base.errors import PlasticError
from plastic_core.training.data_file import DataFile, read_table
from plastic_core.training.trained_networks import TrainedNetworks

if TYPE_CHECKING:
    import pandas as pd


class Prediction(NamedTuple):
    """What networks answer to the points of a file.

    Attributes:
        table: a row for each point: what all answer together, how far they agree, and each.
        compared: how good it is, where the file says what is to be predicted.
    """

    table: pd.DataFrame
    compared: str | None


def predict(networks: TrainedNetworks, path: str) -> Prediction:
    """Return what networks answer to the points of a file.

    Args:
        networks: of a run.
        path: of a table, of arrays, or of a folder of images by class.

    Raises:
        PlasticError: it cannot be read, or does not fit the networks.
    """
    columns = networks.data.columns if networks.data else ()
    target = networks.data.target if networks.data and columns else ()
    found = read_table(path, target)
    try:
        points = found.ordered(columns)
    except PlasticError as error:
        raise PlasticError(f"{path}: {error}") from None
    answers = networks.predict(points)
    if networks.predicts == "classes" and answers.ndim == 2:
        return Prediction(_of_classes(networks, answers), _accuracy(answers, found))
    if networks.predicts == "numbers" and answers.ndim == 3:
        return Prediction(_of_numbers(networks, answers, target), None)
    raise PlasticError(
        f"{path}: these networks answer at each step, which is no table; predict in Python: "
        "plastic_core.load(RUN).networks.predict(X)"
    )


def _of_classes(networks: TrainedNetworks, answers: NDArray[Any]) -> pd.DataFrame:
    import pandas as pd

    kinds, which = np.unique(answers, return_inverse=True)
    which = which.reshape(answers.shape)
    votes = np.stack([(which == kind).sum(0) for kind in range(len(kinds))])
    table = {"prediction": kinds[votes.argmax(0)]}
    if len(answers) > 1:
        table["agreement"] = votes.max(0) / len(answers)
        table |= {f"seed_{s}": one for s, one in zip(networks.seeds, answers, strict=True)}
    return pd.DataFrame(table)


def _of_numbers(
    networks: TrainedNetworks, answers: NDArray[Any], target: tuple[str, ...]
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
            table |= {f"seed_{s}{end}": one for s, one in zip(networks.seeds, each, strict=True)}
    return pd.DataFrame(table)


def _accuracy(answers: NDArray[Any], found: DataFile) -> str | None:
    """Return how often each network, and all together, are right, where labels are there."""
    if found.labels is None:
        return None
    right = (answers.astype(str) == np.asarray(found.labels).astype(str)).mean(1)
    return f"accuracy at the {len(found.labels):,} points of the file: {100 * right.mean():.2f}%"
