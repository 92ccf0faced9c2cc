"""A task's data, loaded once by a process and kept for the blocks that follow."""

from __future__ import annotations

from typing import Final

from plastic_core.cells import digest_of
from plastic_core.plan import Plan
from plastic_core.plugins import Dataset
from plastic_core.running import load_data

_KEPT: Final[dict[tuple[str, str, str | None], tuple[Dataset, str]]] = {}


def data_of(plan: Plan, data_dir: str | None) -> tuple[Dataset, str]:
    """Return the data of a plan's task, and their digest.

    Raises:
        PlasticError: there are none, or they do not fit the network.
    """
    key = (plan.task_entry.qualified, plan.options.model_dump_json(), data_dir)
    if key not in _KEPT:
        dataset, _ = load_data(plan, None, data_dir, [])
        while len(_KEPT) > 1:  # MNIST takes 220 MB
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[key] = dataset, digest_of(dataset)
    return _KEPT[key]
