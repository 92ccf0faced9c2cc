"""Objects of other libraries that hold data, handed over in Python; none of them is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from plastic_core.base.errors import PlasticError, describe_exception, did_you_mean
from plastic_core.training.data_file import DataFile, check_numbers, listed
from plastic_core.training.tables import of_frame


def points_of(data: Any, target: Sequence[str] = ()) -> DataFile:
    """Return the points of ``(X, y)``, or of an object that holds such.

    Args:
        data: a pair; a Bunch of scikit-learn; a DataFrame of pandas; a Dataset or a DataArray of
            xarray; or a Dataset of torch.
        target: the columns of a DataFrame, the variables of a Dataset, or the coordinate of a
            DataArray, that are to be predicted.

    Raises:
        PlasticError: it is none of these, or does not hold what is to be predicted.
    """
    try:
        found = _points_of(data, target)
        if not isinstance(data, tuple | list):  # those are checked where they are read
            check_numbers(np.asarray(found.inputs), found.columns)
        return found
    except PlasticError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RuntimeError) as error:
        reason = str(error) if type(error) is ValueError else describe_exception(error)
        raise PlasticError(f"data: the {type(data).__name__}: {reason}") from None


def _points_of(data: Any, target: Sequence[str]) -> DataFile:
    if isinstance(data, tuple | list):
        if len(data) != 2:
            raise PlasticError(
                f"data: is a {type(data).__name__} of {len(data)}; expected a pair (X, y)"
            )
        named = hasattr(data[0], "columns") and hasattr(data[0], "iloc")
        columns = tuple(map(str, data[0].columns)) if named else ()
        return DataFile(data[0], data[1], columns)
    if isinstance(data, Mapping) and {"data", "target"} <= {*data}:
        return _of_bunch(data)
    if hasattr(data, "data_vars"):
        return _of_variables(data, target)
    if hasattr(data, "coords") and hasattr(data, "dims"):
        return _of_array(data, target)
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return of_frame(data, target)
    if isinstance(data, torch.utils.data.IterableDataset):
        raise ValueError("cannot be asked for single points; expected a map-style Dataset")
    if isinstance(data, torch.utils.data.Dataset):
        return _of_torch(data)
    raise PlasticError(
        f"data: is a {type(data).__name__}; expected a pair (X, y), a Bunch of scikit-learn, a "
        "DataFrame of pandas, an object of xarray, or a Dataset of torch"
    )


def _of_bunch(bunch: Mapping[str, Any]) -> DataFile:
    """Return the points of a Bunch, whose whole numbers are classes, and others numbers."""
    labels, names = np.asarray(bunch["target"]), bunch.get("target_names")
    if labels.dtype.kind == "f":
        labels = labels.reshape(len(labels), -1)
    elif names is not None and labels.ndim == 1 and labels.dtype.kind in "iu":
        labels = np.asarray(names)[labels]
    columns = tuple(map(str, bunch.get("feature_names") or ()))
    inputs = np.asarray(bunch["data"])
    if inputs.ndim != 2 or inputs.shape[1] != len(columns):
        columns = ()
    return DataFile(inputs, labels, columns)


def _of_variables(data: Any, target: Sequence[str]) -> DataFile:
    """Return the points of a Dataset of xarray: one variable of points, or one for each column."""
    variables = [str(name) for name in data.data_vars]
    _check_named(target, variables, "variable")
    dimension = data[target[0]].dims[0]
    labels = [data[name].transpose(dimension, ...).values for name in target]
    features = [name for name in variables if name not in target]
    inputs = [data[name].transpose(dimension, ...).values for name in features]
    y = labels[0] if len(labels) == 1 else np.stack(labels, 1)
    if len(inputs) == 1:
        return DataFile(inputs[0], y, target=tuple(target))
    shapes = {name: one.shape for name, one in zip(features, inputs, strict=True)}
    if any(len(shape) != 1 for shape in shapes.values()) or not inputs:
        raise ValueError(
            f"beside {listed(target)} it has variables of the shapes {shapes}; expected one, or "
            f"several along {dimension!r} alone, which are then columns"
        )
    return DataFile(np.stack(inputs, 1), y, tuple(features), tuple(target))


def _of_array(data: Any, target: Sequence[str]) -> DataFile:
    """Return the points of a DataArray of xarray, along the dimension of the target's labels."""
    _check_named(target, [str(name) for name in data.coords], "coordinate")
    if len(target) > 1 or len(data.coords[target[0]].dims) != 1:
        raise ValueError("the target of a DataArray is one coordinate along its points")
    labels = data.coords[target[0]]
    inputs = data.transpose(labels.dims[0], ...)
    columns: tuple[str, ...] = ()
    if inputs.ndim == 2 and inputs.dims[1] in inputs.coords:
        columns = tuple(map(str, inputs.coords[inputs.dims[1]].values))
    return DataFile(inputs.values, labels.values, columns, tuple(target))


def _check_named(target: Sequence[str], names: list[str], what: str) -> None:
    """Check that what is to be predicted is there.

    Raises:
        ValueError: it is not named, or not there.
    """
    if not target:
        raise ValueError(f"say which {what} is to be predicted: RunSpec(target=('NAME',))")
    missing = [name for name in target if name not in names]
    if missing:
        raise ValueError(
            f"there is no {what} {missing[0]!r}{did_you_mean(missing[0], names)}; there are "
            f"{listed(names)}"
        )


def _of_torch(data: Any) -> DataFile:
    """Return the points of a Dataset of torch, whose items are pairs ``(x, y)``."""
    points, labels = [], []
    for place in range(len(data)):
        item = data[place]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise ValueError(f"item {place} is a {type(item).__name__}; expected a pair (x, y)")
        x, y = item
        if not hasattr(x, "__array__") or type(x).__module__.startswith("PIL."):
            raise ValueError(
                f"x of item {place} is a {type(x).__name__}; expected a tensor or an array, such "
                "as torchvision's ToTensor makes"
            )
        points.append(np.asarray(x))
        labels.append(np.asarray(y))
    return DataFile(np.stack(points), np.stack(labels))
