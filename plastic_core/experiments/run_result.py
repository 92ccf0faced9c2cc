"""The result of a run, as Python has it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plastic_core.api.plugin import Probe, Rule, Task, Transform
from plastic_core.base.errors import PlasticError
from plastic_core.base.files import expanded
from plastic_core.networks.parameters import Parameters
from plastic_core.plan.parent import RUN_FILE, WEIGHTS_FILE
from plastic_core.plan.plan import Plan, make_plan
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plan.spec_file import with_trusted_plugins
from plastic_core.plugins.catalogue import Catalogue, Part
from plastic_core.results.dataset_file import CURVES_FILE, RUN_CURVES, read_dataset
from plastic_core.results.labelled_arrays import LabelledArrays
from plastic_core.results.result_folder import read_record
from plastic_core.results.run_record import RunRecord
from plastic_core.training.trained_networks import TrainedNetworks, stored_parameters

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        spec: the spec with every theta written out.
        labelled: what `curves` is made of when it is first asked for.
        record: what run.json holds: spec, resolved rules, environment, notes, result.
        run_dir: the folder, or None where nothing was written.
        parameters: weights, feedback and states after training; None where the result was read
            from a finished run.
        catalogue: the plugins that it is made of.
    """

    spec: RunSpec
    labelled: LabelledArrays | xr.Dataset = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    run_dir: Path | None = None
    parameters: Parameters | None = field(default=None, repr=False)
    catalogue: Catalogue = field(default_factory=Catalogue, repr=False)

    @cached_property
    def curves(self) -> xr.Dataset:
        """Score and loss over (seed, step), and what probes measured, described and with units."""
        made = self.labelled
        return made.dataset() if isinstance(made, LabelledArrays) else made

    @cached_property
    def networks(self) -> TrainedNetworks:
        """The networks as training left them, to predict by and to look into.

        Raises:
            PlasticError: they were not saved, their file is damaged, or a plugin is missing.
        """
        plan, parameters = self._plan, self.parameters
        if parameters is None:
            file = None if self.run_dir is None else self.run_dir / WEIGHTS_FILE
            if file is None or not os.path.lexists(file):
                raise PlasticError(
                    f"the networks of {self.run_dir or 'this run'} were not saved; repeat it with "
                    "save_weights, and without taking them from the store"
                )
            parameters = stored_parameters(plan, file)
        record = RunRecord.model_validate(self.record)
        predicts = record.predicts or plan.loss.spec.targets
        ended = () if record.result is None else record.result.diverged
        diverged = [one.seed for one in ended]
        return TrainedNetworks(plan, parameters, predicts, record.classes, record.data, diverged)

    @property
    def _plan(self) -> Plan:
        """What was trained, which neither data nor a parent are needed for any more."""
        plan = make_plan(self.spec.model_copy(update={"parent": ""}), self.catalogue)
        network = type(plan.network).model_validate(self.record["network"])
        return plan if network == plan.network else plan.on(network)

    def _repr_html_(self) -> str:
        """Return the table that the command prints, and the learning curve, for notebooks."""
        from plastic_core.experiments.run_page import run_page

        return run_page(self)

    @property
    def summary(self) -> dict[str, Any]:
        """What ``plastic run --json`` prints."""
        folder = None if self.run_dir is None else str(self.run_dir)
        return {"run_dir": folder, **self.record["result"]}


def load(
    folder: str | os.PathLike[str],
    *,
    plugins: Sequence[str] = (),
    rules: Sequence[type[Rule]] = (),
    probes: Sequence[type[Probe]] = (),
    transforms: Sequence[type[Transform]] = (),
    tasks: Sequence[type[Task[Any]]] = (),
    parts: Sequence[type[Part]] = (),
) -> RunResult:
    """Return the result of a finished run from its folder.

    >>> result = load("runs/digits")  # doctest: +SKIP
    >>> result.networks.predict(images, seed=3)  # doctest: +SKIP

    Args:
        folder: of the run, as ``plastic run`` names it.
        plugins: files with plugins in place of those that it names.
        rules: classes that are not installed, as `run` was handed them.
        probes: likewise.
        transforms: likewise.
        tasks: likewise.
        parts: likewise.

    Raises:
        PlasticError: there is no finished run, it is damaged, or names files with plugins where
            none are given.
    """
    path = expanded(folder)
    remedy = f"give the folder of a finished run, with {RUN_FILE} and {CURVES_FILE}"
    record = read_record(path / RUN_FILE, RunRecord, "run", remedy)
    if record.state != "finished":
        raise PlasticError(
            f"{path}: this run is not finished; continue it by 'plastic run --resume --out {path}'"
        )
    spec = RunSpec(**with_trusted_plugins(path / RUN_FILE, record.spec, plugins))
    curves = read_dataset(path / CURVES_FILE, RUN_CURVES)
    catalogue = Catalogue(spec.plugins, rules, probes, transforms, tasks, parts)
    return RunResult(spec, curves, record.plain(), path, catalogue=catalogue)
