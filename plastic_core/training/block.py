"""A block: networks of one plan, trained side by side, that differ in seed and theta alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from plastic_core.api.plugin import Dataset
from plastic_core.backends.choice import Chosen
from plastic_core.base.errors import PlasticError
from plastic_core.networks.parameters import Parameters, add_states, add_thetas, initial_parameters
from plastic_core.plan.plan import Plan, Replica
from plastic_core.results.curves import Curves, evaluation_steps
from plastic_core.training import datasets
from plastic_core.training.block_stage import BlockStage, Shared
from plastic_core.training.inheritance import inherit
from plastic_core.training.stage_points import points_of_stages
from plastic_core.training.trained_networks import hooks_of

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
        chosen: the backend of the first stage, and why.
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
        self._plan, seeds = plan, [replica.seed for replica in replicas]
        self._hooks = [hooks_of(stage) for stage in plan.each]
        self.parameters: Parameters = initial_parameters(
            plan.circuit, seeds, plan.feedback, dtype, device
        )
        for hooks in self._hooks:
            add_states(self.parameters, hooks)
        if plan.circuit.biased and all(hooks.propagate is None for hooks in self._hooks):
            self.notes.append("the biases stay 0: no rule of the expression propagates the error")
        unrepeatable = list(dict.fromkeys(n for hooks in self._hooks for n in hooks.unrepeatable))
        self.repeatable = not unrepeatable
        if unrepeatable:
            self.notes.append(
                f"not repeatable: {' and '.join(unrepeatable)} gave other numbers when "
                "called again, drawn at random or counted; the result is not kept in the store"
            )
        threads = threads or torch.get_num_threads()
        at_once = min(len(replicas), threads) if device == "cpu" else 1
        evaluated = datasets.held_out_places(dataset, spec.eval_half, spec.eval_samples)
        self._held_out = self._evaluated(dataset, evaluated, dtype)
        self._ends, steps = self._steps()
        self.curves = Curves.empty(len(replicas), steps, plan.score.name)
        if plan.parent is not None:
            predicts = "classes" if dataset.classes else "numbers"
            others = plan.parent.answers_differ(predicts, dataset.class_names, spec.target)
            self.notes.extend(inherit(self.parameters, plan.parent, others))
        # those of the last stage are of the networks, earlier ones are the same for all
        self._thetas = [
            {
                name: torch.tensor(
                    [(one.thetas if last else stage.thetas)[name] for one in replicas],
                    dtype=dtype,
                    device=device,
                )
                for name in stage.thetas
            }
            for stage, last in ((one, one is plan.each[-1]) for one in plan.each)
        ]
        for hooks, thetas in zip(self._hooks, self._thetas, strict=True):
            add_thetas(self.parameters, hooks, thetas)
        points = points_of_stages(plan, dataset, evaluated)
        self._orders = [torch.from_numpy(one.order(seeds)) for one in points]
        self._shared = Shared(
            dataset,
            self.parameters,
            self._held_out,
            points[0].parts,
            _groups(self.parameters, at_once),
            at_once,
            threads,
            self.curves,
            self.notes,
        )
        self._first: BlockStage | None = self._stage(0)
        self.chosen: Chosen = self._first.chosen

    def train(self, on_point: Callable[[Curves], Any]) -> None:
        """Train from the first point of the curves that is not measured yet to the last."""
        for place, (start, stop) in enumerate(itertools.pairwise([0, *self._ends])):
            if self.curves.done >= stop:
                continue
            stage = self._first if not place else None
            stage, self._first = stage or self._stage(place), None
            for replica in np.flatnonzero(self.curves.diverged_at >= 0).tolist():
                stage.chosen.backend.freeze(replica)
            stage.train(range(start, stop), on_point)

    def _stage(self, place: int) -> BlockStage:
        """Return a stage, ready to be trained; its backend sees the parameters as they are."""
        return BlockStage(
            self._plan.each[place],
            self._hooks[place],
            self._thetas[place],
            self._orders[place],
            self._shared,
        )

    def _steps(self) -> tuple[list[int], np.ndarray[Any, np.dtype[np.int64]]]:
        """Return the point of the curves that each stage ends at, and the samples of each point.

        Points are evenly spaced over the whole run, but that they fall on whole mini-batches of a
        stage, and that each stage ends at one.
        """
        spec = self._plan.spec
        even = evaluation_steps(spec.samples, spec.evaluations, 1)
        ends, steps = list[int](), list[int]()
        for stage in self._plan.each:
            begin = steps[-1] if steps else 0
            stop, batch = begin + stage.spec.samples, spec.batch_size
            inside = even[(even > begin) & (even <= stop)] - begin
            whole = begin + -(-inside // batch) * batch
            steps += np.unique(np.minimum([*whole, stop], stop)).tolist()
            ends.append(len(steps))
        if len(steps) != spec.evaluations:
            few = len(steps) < spec.evaluations
            why = "there are no more updates" if few else "each stage ends at one"
            self.notes.append(f"{len(steps)} evaluations in place of {spec.evaluations}: {why}")
        return ends, np.array(steps, np.int64)

    def _evaluated(
        self, dataset: Dataset, places: NDArray[np.int64], dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets of the held-out points that are evaluated."""
        spec = self._plan.spec
        inputs, labels = dataset.held_out_inputs[places], dataset.held_out_labels[places]
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


def _groups(parameters: Parameters, at_once: int) -> list[range]:
    """Divide replicas into groups of about one size, as many for each of those at once."""
    replicas = parameters.replicas
    largest = min(_LARGEST_GROUP, _LARGEST_COPY // parameters.bytes_per_replica + 1)
    count = at_once * -(-replicas // (at_once * largest))
    edges = [replicas * i // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in itertools.pairwise(edges) if start < stop]
