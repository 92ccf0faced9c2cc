"""The result of a run, as Python has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plastic_core.networks.parameters import Parameters
from plastic_core.plan.run_spec import RunSpec
from plastic_core.results.labelled_arrays import LabelledArrays

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
    """

    spec: RunSpec
    labelled: LabelledArrays | xr.Dataset
    record: dict[str, Any]
    run_dir: Path | None = None
    parameters: Parameters | None = field(default=None, repr=False)

    @cached_property
    def curves(self) -> xr.Dataset:
        """Score and loss over (seed, step), and what probes measured, described and with units."""
        made = self.labelled
        return made.dataset() if isinstance(made, LabelledArrays) else made

    def _repr_html_(self) -> str:
        """Return the table that the command prints, and the learning curve, for notebooks."""
        from plastic_core.experiments.run_page import run_page

        return run_page(self)

    @property
    def summary(self) -> dict[str, Any]:
        """What ``plastic run --json`` prints."""
        folder = None if self.run_dir is None else str(self.run_dir)
        return {"run_dir": folder, **self.record["result"]}
