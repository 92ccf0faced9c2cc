"""Networks that training is done with: what they answer, and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.base.errors import PlasticError
from plastic_core.hooks.hooks import Hooks, resolve_hooks
from plastic_core.networks.parameters import Parameters, add_states, add_thetas, initial_parameters
from plastic_core.plan.plan import Plan
from plastic_core.results.run_record import DataRecord
from plastic_core.results.tensor_file import copy_stored, read_tensors
from plastic_core.training.arrays import read_points


class TrainedNetworks:
    """The networks of a run as training left them, one for each seed.

    Args:
        plan: of the run.
        parameters: of all its networks.
        predicts: "classes" or "numbers".
        labels: what the classes are called; nothing where they are 0..K-1, or there are none.
        data: what the run's record says of data that were scaled, or came in a file.
        diverged: the seeds of the networks that did.

    Attributes:
        plan: as given.
        parameters: as given.
        predicts: as given.
        labels: as given.
        data: as given.
        diverged: as given.
        seeds: of the networks.
    """

    def __init__(
        self,
        plan: Plan,
        parameters: Parameters,
        predicts: Literal["classes", "numbers"],
        labels: Sequence[str] = (),
        data: DataRecord | None = None,
        diverged: Sequence[int] = (),
    ) -> None:
        self.plan, self.parameters = plan, parameters
        self.predicts, self.labels, self.data = predicts, tuple(labels), data
        self.seeds, self.diverged = parameters.seeds, tuple(diverged)

    @cached_property
    def weights(self) -> dict[str, NDArray[Any]]:
        """Weights ``[R, n_post, n_pre]`` and biases ``[R, n_post, 1]`` by name, as "weight.1"."""
        kinds = ("weight.", "bias.")
        named = self.parameters.named().items()
        return {name: value.cpu().numpy() for name, value in named if name.startswith(kinds)}

    def __repr__(self) -> str:
        """Say how many there are, and what they predict."""
        called = f" {', '.join(self.labels)}" if self.labels else ""
        return (
            f"TrainedNetworks({len(self.seeds)} of {self.plan.network.shape}, "
            f"{self.predicts}{called})"
        )

    def predict(self, points: ArrayLike, seed: int | None = None) -> NDArray[Any]:
        """Return what the networks answer.

        Args:
            points: ``[N, n]``, or images or sequences in the shape that they were trained on; or
                a data frame with the columns of the run, in any order. They are scaled as those of
                training were, and so are numbers that are predicted, back again.
            seed: of one network; None for all.

        Returns:
            ``[R, N]`` labels of classes, or ``[R, N, m]`` numbers, of one network without R; of
            networks that answer at each of T steps ``[R, N, T]`` and ``[R, N, T, m]``.

        Raises:
            PlasticError: the points do not fit the networks, or there is none of this seed.
        """
        asked = self._asked(seed)
        outputs = asked.outputs(points)
        if self.predicts == "numbers":
            scaling = self.data and self.data.target_scaling
            found: NDArray[Any] = scaling.undo(outputs) if scaling else outputs
        else:
            strange = [s for s, y in zip(asked.seeds, outputs, strict=True) if not _finite(y)]
            if strange:
                raise PlasticError(
                    f"the outputs of the seeds {', '.join(map(str, strange))} are not finite at "
                    "some points; ask another by seed=, or other points"
                )
            found = outputs.argmax(-1)
            found = np.array(self.labels)[found] if self.labels else found
        return found if seed is None else cast(NDArray[Any], found[0])

    def outputs(self, points: ArrayLike, seed: int | None = None) -> NDArray[Any]:
        """Return y_L as it is, ``[R, N, m]`` or ``[R, N, T, m]``; see `predict`."""
        asked, network = self._asked(seed), self.plan.network
        found = [layers[-1] for layers in asked._evaluated(points)]
        outputs = torch.cat(found).cpu().numpy()
        if isinstance(network, SequenceSpec):
            outputs = outputs.reshape(len(outputs), -1, network.steps, outputs.shape[-1])
        return outputs if seed is None else cast(NDArray[Any], outputs[0])

    def activities(self, points: ArrayLike, seed: int | None = None) -> list[NDArray[Any]]:
        """Return the activities y_0 .. y_L, ``[R, N, n_l]`` each, of one network without R.

        The arguments are those of `predict`.
        """
        found = zip(*self._asked(seed)._evaluated(points), strict=True)
        layers = [torch.cat(of_layer).cpu().numpy() for of_layer in found]
        return layers if seed is None else [layer[0] for layer in layers]

    def of(self, *seeds: int) -> TrainedNetworks:
        """Return the networks of some seeds by themselves.

        Raises:
            PlasticError: there is none of one of them.
        """
        for seed in seeds:
            if isinstance(seed, bool) or seed not in self.seeds:
                there = ", ".join(map(str, self.seeds))
                raise PlasticError(f"seed {seed}: there is no such network; there are {there}")
        some = self.parameters.select([self.seeds.index(seed) for seed in seeds])
        return TrainedNetworks(
            self.plan, some, self.predicts, self.labels, self.data, self.diverged
        )

    def _asked(self, seed: int | None) -> TrainedNetworks:
        return self if seed is None else self.of(seed)

    def _evaluated(self, points: ArrayLike) -> Iterator[list[Tensor]]:
        """Yield the activities of one network after the other."""
        columns = () if self.data is None else self.data.columns
        if columns and hasattr(points, "columns"):
            frame: Any = points
            there = {str(name): place for place, name in enumerate(frame.columns)}
            if missing := [name for name in columns if name not in there]:
                raise PlasticError(
                    f"data: there is no column {', '.join(map(repr, missing))}, which these "
                    "networks take"
                )
            points = frame.iloc[:, [there[name] for name in columns]]
        shape = () if self.data is None else self.data.shape
        inputs: NDArray[Any] = read_points(points, self.plan.network, shape)
        weight = self.parameters.weights[0]
        if self.data is not None and self.data.scaling is not None:
            inputs = self.data.scaling.apply(inputs)
        x = torch.from_numpy(inputs).to(weight.device, weight.dtype)[None]
        evaluation = Evaluation(self.plan.circuit, hooks_of(self.plan), self.parameters)
        with torch.inference_mode():
            for row in range(len(self.seeds)):
                yield evaluation.activities(x, row)


def _finite(outputs: NDArray[Any]) -> bool:
    return bool(np.isfinite(outputs).all())


def stored_parameters(plan: Plan, file: Path) -> Parameters:
    """Return the parameters of all networks of a plan from the file of a finished run.

    Raises:
        PlasticError: it cannot be read, is damaged, or does not fit.
    """
    hooks, spec = hooks_of(plan), plan.spec
    stored = read_tensors(file)
    made = initial_parameters(
        plan.circuit, spec.seed_list, hooks.feedback, getattr(torch, spec.dtype)
    )
    add_states(made, hooks)
    add_thetas(made, hooks, plan.thetas)
    try:
        for name, tensor in made.named().items():
            copy_stored(name, tensor, stored[name])
    except (KeyError, ValueError) as error:
        raise PlasticError(f"{file}: does not fit the run ({error}); repeat the run") from None
    return made


def hooks_of(plan: Plan) -> Hooks:
    """Return the resolved hooks of a plan."""
    return resolve_hooks(
        plan.selected,
        [t.transform for t in plan.transforms],
        getattr(torch, plan.spec.dtype),
        plan.theta_layers,
        plan.circuit,
        plan.transform_layers,
    )
