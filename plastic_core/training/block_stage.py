"""One stage of a block: its rules on a backend, on points in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plastic_core.api.plugin import Dataset
from plastic_core.backends.choice import BackendRequest, Chosen, choose_backend
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.parameters import Parameters, add_thetas
from plastic_core.plan.plan import Plan
from plastic_core.probes.camera import Camera, own_outputs
from plastic_core.probes.probing import Probing
from plastic_core.results.curves import Curves
from plastic_core.training import datasets
from plastic_core.training.evaluator import Evaluator
from plastic_core.training.readout import Readout
from plastic_core.training.trainer import train


@dataclass(frozen=True)
class Shared:
    """What all stages of a block have in common.

    Attributes:
        dataset: of the task.
        parameters: of all networks.
        held_out: inputs and targets of the points that are evaluated.
        parts: places among those, by name.
        groups: of networks that are measured together.
        at_once: groups that are evaluated at once.
        threads: networks trained at once.
        curves: what was measured so far.
        notes: what is done otherwise than asked; added to.
    """

    dataset: Dataset
    parameters: Parameters
    held_out: tuple[torch.Tensor, torch.Tensor]
    parts: Mapping[str, NDArray[np.int64]]
    groups: Sequence[range]
    at_once: int
    threads: int
    curves: Curves
    notes: list[str]


class BlockStage:
    """The networks of a block under the rules of one stage.

    Args:
        plan: of the stage.
        hooks: its rules.
        thetas: by name, ``[R]``.
        order: ``[R, samples]``, the training points of each network.
        shared: what all stages have in common.

    Attributes:
        chosen: the backend, and why.
    """

    def __init__(
        self,
        plan: Plan,
        hooks: Hooks,
        thetas: dict[str, torch.Tensor],
        order: torch.Tensor,
        shared: Shared,
    ) -> None:
        self._plan, self._hooks, self._thetas = plan, hooks, thetas
        self._order, self._shared = order, shared
        self._dtype: torch.dtype = getattr(torch, plan.spec.dtype)
        add_thetas(shared.parameters, hooks, thetas)
        self._factors = _factors(plan, self._dtype)
        self.chosen: Chosen = self._choose()
        self._thetas_now = {name: theta.clone() for name, theta in thetas.items()}
        self._readout = self._read() if plan.judged_by_readout else None
        self._probing = self._probe() if plan.probes else None

    def train(self, points: range, on_point: Callable[[Curves], Any]) -> None:
        """Train from the first of these points of the curves that is not measured yet."""
        shared = self._shared
        evaluator = Evaluator(
            self.chosen.backend,
            shared.held_out,
            self._plan.loss,
            shared.groups,
            shared.at_once,
            self._probing,
            self._readout,
        )
        train(
            self.chosen.backend,
            shared.parameters,
            self._order,
            self._plan.spec.batch_size,
            shared.curves,
            points,
            evaluator,
            on_point,
            self._set_thetas,
        )

    def _set_thetas(self, updates: int) -> None:
        """Let evaluations and probes see the thetas after so many updates."""
        for name, factors in self._factors.items():
            self._thetas_now[name].copy_(self._thetas[name] * factors[updates].item())
        if self._factors:
            add_thetas(self._shared.parameters, self._hooks, self._thetas_now)

    def _choose(self) -> Chosen:
        plan, shared, dataset = self._plan, self._shared, self._shared.dataset
        spec = plan.spec
        chosen = choose_backend(
            BackendRequest(
                spec.backend,
                plan.circuit,
                self._hooks,
                self._thetas,
                shared.parameters,
                torch.from_numpy(dataset.inputs).to(spec.device, self._dtype),
                datasets.targets_of(dataset, dataset.labels, self._dtype).to(spec.device),
                spec.batch_size,
                updates=plan.updates,
                threads=shared.threads,
                factors=self._factors,
            )
        )
        if chosen.differs and spec.backend != "auto":
            self._note(f"backend {chosen.name} {chosen.reason}")
        for note in chosen.notes:
            self._note(note)
        return chosen

    def _note(self, note: str) -> None:
        if note not in self._shared.notes:  # of an earlier stage
            self._shared.notes.append(note)

    def _probe(self) -> Probing:
        """Return what measures at the evaluation points, and make room for it in the curves."""
        plan, shared = self._plan, self._shared
        inputs, targets = shared.held_out
        asked = plan.spec.probe_samples
        points = min(asked, len(targets))
        if points < asked:
            self._note(f"probes use {points} points, all that are evaluated, in place of {asked}")
        cameras = {
            group: Camera(
                plan.circuit,
                self._hooks.guarded(),
                shared.parameters.slice(group.start, group.stop),
                {name: t[group.start : group.stop] for name, t in self._thetas_now.items()},
                targets,
                points,
                shared.dataset.shape,
                shared.parts,
            )
            for group in shared.groups
        }
        backend, inputs = self.chosen.backend, inputs.unsqueeze(0)

        def evaluate(replica: int, points: int | None) -> list[torch.Tensor]:
            return [y[0] for y in backend.activities(inputs[:, :points], replica)]

        judge = self._readout.outputs if self._readout else own_outputs
        probing = Probing(plan.probes, cameras, evaluate, judge)
        curves = shared.curves
        if not curves.probes:
            curves.probes = probing.empty(shared.parameters.replicas, len(curves.steps))
        return probing

    def _read(self) -> Readout:
        """Return what networks are judged by in place of their own outputs."""
        spec, shared = self._plan.spec, self._shared
        inputs, labels = datasets.training_points(shared.dataset, spec.readout_samples)
        if len(labels) < spec.readout_samples:
            self._note(
                f"readouts are fitted to {len(labels)} points, all that there are for training, in "
                f"place of {spec.readout_samples}"
            )
        targets = datasets.targets_of(shared.dataset, labels, self._dtype).to(spec.device)
        return Readout(
            spec,
            self._plan.circuit,
            lambda x, replica: [y[0] for y in self.chosen.backend.activities(x, replica)],
            Evaluation(self._plan.circuit, self._hooks, shared.parameters),
            (torch.from_numpy(inputs).to(spec.device, self._dtype), targets),
            shared.held_out[0],
        )


def _factors(plan: Plan, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return what each theta with a schedule is multiplied by after 0, 1, ... n updates."""
    parts = [update / plan.updates for update in range(plan.updates + 1 if plan.schedules else 0)]
    return {
        name: torch.tensor([schedule.factor(x) for x in parts], dtype=dtype)
        for name, schedule in plan.schedules.items()
    }
