"""A block: networks of one plan, trained side by side, that differ in seed and theta alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch

from plastic_core.api.plugin import Dataset
from plastic_core.backends.choice import BackendRequest, Chosen, choose_backend
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.base.errors import PlasticError
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.parameters import Parameters, add_states, add_thetas, initial_parameters
from plastic_core.plan.plan import Plan, Replica
from plastic_core.probes.camera import Camera
from plastic_core.probes.probing import Probing
from plastic_core.results.curves import Curves, evaluation_steps
from plastic_core.training import datasets
from plastic_core.training.evaluator import Evaluator
from plastic_core.training.inheritance import inherit
from plastic_core.training.readout import Readout
from plastic_core.training.trained_networks import hooks_of
from plastic_core.training.trainer import train

# Networks of a group are measured together, which costs least for about ten: fewer do not make up
# for the calls of torch, and more do not fit into a core's cache. Their parameters are copied.
_LARGEST_GROUP: Final = 10
_LARGEST_COPY: Final = 64 * 2**20


class Block:
    """The networks, ready to be trained.

    Args:
        plan: rules, task and network; its own thetas and seeds are not used.
        replicas: the networks.
        dataset: the task's data.
        threads: networks trained or evaluated at once, and threads of torch where there are fewer;
            None for all cores.

    Attributes:
        parameters: of all networks.
        chosen: the backend, and why.
        curves: what was measured so far; a resumed run fills in what it had.
        notes: what is done otherwise than asked.
        repeatable: whether another run gives the same numbers.
    """

    def __init__(
        self, plan: Plan, replicas: Sequence[Replica], dataset: Dataset, threads: int | None
    ) -> None:
        spec = plan.spec
        device, dtype = spec.device, getattr(torch, spec.dtype)
        self.notes: list[str] = []
        self._circuit = plan.circuit
        self._threads = threads or torch.get_num_threads()
        self._loss, self._batch_size = plan.loss, spec.batch_size
        hooks = hooks_of(plan)
        seeds = [replica.seed for replica in replicas]
        self.parameters: Parameters = initial_parameters(
            plan.circuit, seeds, hooks.feedback, dtype, device
        )
        add_states(self.parameters, hooks)
        if plan.circuit.biased and hooks.propagate is None:
            self.notes.append("the biases stay 0: no rule of the expression propagates the error")
        self.repeatable = not hooks.unrepeatable
        if hooks.unrepeatable:
            self.notes.append(
                f"not repeatable: {' and '.join(hooks.unrepeatable)} gave other numbers when "
                "called again, drawn at random or counted; the result is not kept in the store"
            )
        self._at_once = min(len(replicas), self._threads) if device == "cpu" else 1
        self._groups = _groups(self.parameters, self._at_once)
        self._held_out = self._evaluated(plan, dataset, dtype)
        self.curves = Curves.empty(len(replicas), self._steps(plan), plan.score.name)
        seen = 0
        if plan.parent is not None:
            predicts = "classes" if dataset.classes else "numbers"
            others = plan.parent.answers_differ(predicts, _labels_of(dataset), spec.target)
            self.notes.extend(inherit(self.parameters, plan.parent, others))
            seen = plan.parent.samples
        thetas = {
            name: torch.tensor(
                [replica.thetas[name] for replica in replicas], dtype=dtype, device=device
            )
            for name in plan.thetas
        }
        add_thetas(self.parameters, hooks, thetas)
        self._factors = _factors(plan, dtype)
        self.chosen: Chosen = self._choose(plan, hooks, thetas, dataset, dtype)
        self._hooks, self._thetas = hooks, thetas
        self._thetas_now = {name: theta.clone() for name, theta in thetas.items()}
        self._probing = self._probe(plan, hooks, dataset.shape) if plan.probes else None
        self._readout = self._read(plan, dataset, dtype) if plan.judged_by_readout else None
        points = len(dataset.labels)
        self._order = torch.from_numpy(
            np.stack([datasets.training_order(seed, points, spec.samples, seen) for seed in seeds])
        )

    def train(self, on_point: Callable[[Curves], Any]) -> None:
        """Train from the first point of the curves that is not measured yet to the last."""
        evaluator = Evaluator(
            self.chosen.backend,
            self._held_out,
            self._loss,
            self._groups,
            self._at_once,
            self._probing,
            self._readout,
        )
        train(
            self.chosen.backend,
            self.parameters,
            self._order,
            self._batch_size,
            self.curves,
            range(len(self.curves.steps)),
            evaluator,
            on_point,
            self._set_thetas,
        )

    def _set_thetas(self, updates: int) -> None:
        """Let evaluations and probes see the thetas after so many updates."""
        for name, factors in self._factors.items():
            self._thetas_now[name].copy_(self._thetas[name] * factors[updates].item())
        if self._factors:
            add_thetas(self.parameters, self._hooks, self._thetas_now)

    def _choose(
        self,
        plan: Plan,
        hooks: Hooks,
        thetas: dict[str, torch.Tensor],
        dataset: Dataset,
        dtype: torch.dtype,
    ) -> Chosen:
        spec = plan.spec
        chosen = choose_backend(
            BackendRequest(
                spec.backend,
                self._circuit,
                hooks,
                thetas,
                self.parameters,
                torch.from_numpy(dataset.inputs).to(spec.device, dtype),
                datasets.targets_of(dataset, dataset.labels, dtype).to(spec.device),
                spec.batch_size,
                updates=plan.updates,
                threads=self._threads,
                factors=self._factors,
            )
        )
        if chosen.differs and spec.backend != "auto":
            self.notes.append(f"backend {chosen.name} {chosen.reason}")
        self.notes.extend(chosen.notes)
        return chosen

    def _probe(self, plan: Plan, hooks: Hooks, image: tuple[int, ...]) -> Probing:
        """Return what measures at the evaluation points, and make room for it in the curves."""
        targets, asked = self._held_out[1], plan.spec.probe_samples
        points = min(asked, len(targets))
        if points < asked:
            self.notes.append(
                f"probes use {points} points, all that are evaluated, in place of {asked}"
            )
        cameras = {
            group: Camera(
                self._circuit,
                hooks.guarded(),
                self.parameters.slice(group.start, group.stop),
                {name: t[group.start : group.stop] for name, t in self._thetas_now.items()},
                targets,
                points,
                image,
            )
            for group in self._groups
        }
        backend, inputs = self.chosen.backend, self._held_out[0].unsqueeze(0)

        def evaluate(replica: int, points: int | None) -> list[torch.Tensor]:
            return [y[0] for y in backend.activities(inputs[:, :points], replica)]

        probing = Probing(plan.probes, cameras, evaluate)
        self.curves.probes = probing.empty(self.parameters.replicas, len(self.curves.steps))
        return probing

    def _read(self, plan: Plan, dataset: Dataset, dtype: torch.dtype) -> Readout:
        """Return what networks are judged by in place of their own outputs."""
        spec = plan.spec
        inputs, labels = datasets.training_points(dataset, spec.readout_samples)
        if len(labels) < spec.readout_samples:
            self.notes.append(
                f"readouts are fitted to {len(labels)} points, all that there are for training, in "
                f"place of {spec.readout_samples}"
            )
        targets = datasets.targets_of(dataset, labels, dtype).to(spec.device)
        return Readout(
            spec,
            plan.circuit,
            lambda x, replica: [y[0] for y in self.chosen.backend.activities(x, replica)],
            Evaluation(plan.circuit, self._hooks, self.parameters),
            (torch.from_numpy(inputs).to(spec.device, dtype), targets),
            self._held_out[0],
        )

    def _steps(self, plan: Plan) -> np.ndarray[Any, np.dtype[np.int64]]:
        spec = plan.spec
        steps = evaluation_steps(spec.samples, spec.evaluations, spec.batch_size)
        if len(steps) < spec.evaluations:
            self.notes.append(
                f"{len(steps)} evaluations in place of {spec.evaluations}: there are no more "
                "updates"
            )
        return steps

    def _evaluated(
        self, plan: Plan, dataset: Dataset, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets of the points that are evaluated."""
        spec = plan.spec
        inputs, labels = datasets.held_out_half(dataset, spec.eval_half, spec.eval_samples)
        if len(labels) < spec.eval_samples:
            self.notes.append(
                f"evaluations use {len(labels)} points, all that the half '{spec.eval_half}' "
                f"holds, in place of {spec.eval_samples}"
            )
        if not dataset.classes and (labels == labels[:1]).all():
            raise PlasticError(
                f"the {len(labels)} points that are evaluated all have the same numbers, so that "
                "there is no score; evaluate more of them (eval_samples), or hold out more"
            )
        targets = datasets.targets_of(dataset, labels, dtype)
        return torch.from_numpy(inputs).to(spec.device, dtype), targets.to(spec.device)


def _labels_of(dataset: Dataset) -> tuple[str, ...]:
    """Return what the classes are called, if only by their numbers."""
    return dataset.names or tuple(map(str, range(dataset.classes)))


def _factors(plan: Plan, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Return what each theta with a schedule is multiplied by after 0, 1, ... n updates."""
    parts = [update / plan.updates for update in range(plan.updates + 1 if plan.schedules else 0)]
    return {
        name: torch.tensor([schedule.factor(x) for x in parts], dtype=dtype)
        for name, schedule in plan.schedules.items()
    }


def _groups(parameters: Parameters, at_once: int) -> list[range]:
    """Divide replicas into groups of about one size, as many for each of those at once."""
    replicas = parameters.replicas
    largest = min(_LARGEST_GROUP, _LARGEST_COPY // parameters.bytes_per_replica + 1)
    count = at_once * -(-replicas // (at_once * largest))
    edges = [replicas * i // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(edges) if start < stop]
