"""Meta-learning: thetas that follow the gradient of the loss after learning, over episodes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from plastic_core.api.few_shot import FewShotOptions, divide
from plastic_core.api.plugin import Dataset, Rule, Task
from plastic_core.base.errors import PlasticError, listing
from plastic_core.base.scores import ACCURACY
from plastic_core.experiments.meta.episodes import Episodes
from plastic_core.experiments.meta.history import History
from plastic_core.experiments.meta.inner_loop import InnerLoop
from plastic_core.experiments.meta.meta_folder import MetaFolder
from plastic_core.experiments.meta.meta_spec import MetaSpec
from plastic_core.experiments.meta.outer_loop import Outer, optimizers
from plastic_core.experiments.meta.thetas import merged, settings_by_layer, split_by_layer
from plastic_core.plan.plan import Plan, call_task, make_plan
from plastic_core.plugins.catalogue import Catalogue, Part
from plastic_core.results.environment import environment
from plastic_core.results.sources import digest_of, sources_of
from plastic_core.training import arrays, datasets, machine
from plastic_core.training.task_data import shape_of, with_image

if TYPE_CHECKING:
    import os

    import xarray as xr


@dataclass(frozen=True)
class MetaResult:
    """A meta-learned rule.

    Attributes:
        spec: as given.
        history: thetas, accuracy and loss over (seed, episode).
        record: what meta.json holds.
        folder: where it lies, or None.
    """

    spec: MetaSpec
    history: xr.Dataset
    record: dict[str, Any]
    folder: Path | None

    @property
    def learned(self) -> list[str]:
        """The rule of each seed, as an expression that `RunSpec.rule` takes."""
        learned: list[str] = self.record["result"]["learned"]
        return learned


def meta_learn(
    spec: MetaSpec,
    *,
    rules: Sequence[type[Rule]] = (),
    tasks: Sequence[type[Task[Any]]] = (),
    parts: Sequence[type[Part]] = (),
    data: tuple[Any, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    on_plan: Callable[[dict[str, Any]], Any] | None = None,
    on_episode: Callable[[History], Any] | None = None,
) -> MetaResult:
    r"""Learn the thetas of a rule over episodes, each with a fresh network.

    Args:
        spec: everything that decides the result.
        rules: rule classes that are not installed, to be used by name in the expression.
        tasks: task classes likewise, for `MetaSpec.task`.
        parts: classes of layers, activation functions, initialisations and losses likewise.
        data: ``(X [N, n], y [N])`` in place of the task's own points, divided as the task's options
            say; the network's first and last layer follow them.
        out: the folder to write; None writes nothing.
        resume: continue what `out` holds, or return its result where it is finished.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        threads: threads of torch; None for all cores.
        on_plan: called before the first episode with the record so far.
        on_episode: called after each episode.

    Raises:
        PlasticError: anything wrong with the input.
    """
    begun = time.perf_counter()
    catalogue = Catalogue(spec.plugins, rules, tasks=tasks, parts=parts)
    spec = with_image(spec, shape_of(data), catalogue)
    plan = plan_meta(spec, catalogue)
    machine.check(plan, threads)
    points, plan = _load(plan, data_dir) if data is None else _given(plan, data)
    teacher = plan_teacher(spec, catalogue)
    if teacher is not None:
        teacher = teacher.on(plan.network)
    sources = {**(sources_of(teacher) if teacher else {}), **sources_of(plan)}
    sources["data"] = digest_of(points)
    folder = None if out is None else MetaFolder(Path(out), spec, resume, sources)
    with contextlib.nullcontext() if folder is None else folder.claimed():
        if folder is not None and folder.state == "finished":
            stored = folder.read_record().plain()
            return MetaResult(spec, folder.read_history(), stored, folder.path)
        episodes, inputs = _episodes(plan, points, held_out=False)
        count = threads or torch.get_num_threads()
        inner = InnerLoop(plan, inputs, spec.backend, count, teacher)
        outer = Outer(spec, plan)
        names = [name for rule in plan.rules for name in rule.learnable]
        history = History.empty(spec, names)
        history.theta[:, 0] = outer.thetas
        record = _record(spec, plan, sources, threads)
        record |= {"backend": inner.backend, "reason": inner.reason}
        if teacher is not None:
            own = (rule.learnable for rule in teacher.rules)
            record["teacher"] = {name: value for some in own for name, (value, _) in some.items()}
        if folder is not None:
            if folder.state == "started":
                folder.read_checkpoint(history, outer.optimizer, outer.parameter)
            folder.write_record(record)
        if on_plan is not None:
            on_plan(record)
        _learn(spec, episodes, inner, outer, history, folder, on_episode)
        thetas = outer.thetas.tolist()
        learned = [expression(dict(zip(history.rules, t, strict=True))) for t in thetas]
        seconds = time.perf_counter() - begun
        result = history.summary() | {"learned": learned, "seconds": seconds}
        record = {**record, "state": "finished", "result": result}
        measured = history.labelled("difference" if spec.teacher else "loss")
        if folder is not None:
            notes = folder.write_result(measured, record)
            if notes:
                record["notes"] = notes
                folder.write_record(record)
        place = None if folder is None else folder.path
        return MetaResult(spec, measured.dataset(), record, place)


def _learn(
    spec: MetaSpec,
    episodes: Episodes,
    inner: InnerLoop,
    outer: Outer,
    history: History,
    folder: MetaFolder | None,
    on_episode: Callable[[History], Any] | None,
) -> None:
    """Go through the episodes that are still to come."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)  # small operations are fastest with one
    try:
        for number in range(history.done, spec.episodes):
            answers = inner.learn(
                np.repeat(outer.thetas, spec.parallel, 0),
                [
                    episodes.draw(seed, number * spec.parallel + one)
                    for seed in range(spec.first_seed, spec.first_seed + spec.seeds)
                    for one in range(spec.parallel)
                ],
            )
            outer.step(answers, history, number)
            history.done = number + 1
            if folder is not None and history.done < spec.episodes:
                folder.write_checkpoint(history, outer.optimizer)
            if on_episode is not None:
                on_episode(history)
    finally:
        torch.set_num_threads(threads_before)


def plan_meta(spec: MetaSpec, catalogue: Catalogue | None = None) -> Plan:
    """Resolve a spec against what is installed.

    Raises:
        PlasticError: something of it is unknown, or cannot be meta-learned.
    """
    known = optimizers()
    if spec.optimizer not in known:
        raise PlasticError(
            f"optimizer = {spec.optimizer!r}: expected one that steps each theta by itself: "
            f"{listing(sorted(known))}"
        )
    catalogue = catalogue or Catalogue(spec.plugins)
    plan = make_plan(spec.run_spec(), catalogue)
    if not isinstance(plan.options, FewShotOptions):
        offers = []
        for entry in catalogue.entries("task"):
            if entry.plugin and issubclass(entry.plugin.spec.options, FewShotOptions):
                offers.append(entry.name)
        raise PlasticError(
            f"task '{spec.task}': it has no episodes; few-shot tasks are {listing(offers)}"
        )
    if plan.schedules:
        raise PlasticError(
            f"thetas over time ({listing(plan.schedules)}): each rule has one theta that is "
            "learned; begin at a number, such as 0.1"
        )
    if plan.score.name != ACCURACY:
        raise PlasticError(
            f"loss '{plan.network.loss}': its score is {plan.score.name}, and episodes are of "
            "classes, judged by accuracy; write loss cross-entropy or binary-cross-entropy"
        )
    if spec.by_layer:
        settings = merged(spec.settings, settings_by_layer(plan))
        with_layers = spec.model_copy(update={"settings": settings})
        plan = split_by_layer(make_plan(with_layers.run_spec(), catalogue))
    return plan


def plan_teacher(spec: MetaSpec, catalogue: Catalogue) -> Plan | None:
    """Return the plan of the teacher, or None without one.

    Raises:
        PlasticError: something of it is unknown, or changes over time.
    """
    if not spec.teacher:
        return None
    try:
        plan = make_plan(spec.teacher_spec(), catalogue)
    except PlasticError as error:
        raise PlasticError(f"teacher: {error}") from None
    if plan.schedules:
        raise PlasticError(
            f"teacher: thetas over time ({listing(plan.schedules)}): a teacher's thetas stay as "
            "they are; give a number, such as 0.1"
        )
    return plan


def load_episodes(
    plan: Plan, data_dir: Any, held_out: bool
) -> tuple[Episodes, NDArray[np.float32]]:
    """Return what draws episodes, and the points that they are drawn from.

    Args:
        plan: of a few-shot task.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        held_out: draw from the points for the meta-test.

    Raises:
        PlasticError: there are no data, or too few for such episodes.
    """
    return _episodes(plan, _load(plan, data_dir)[0], held_out)


def _load(plan: Plan, data_dir: Any) -> tuple[Dataset, Plan]:
    name = plan.task_entry.name
    data: Dataset = call_task(
        plan.task_entry, "load", datasets.data_folders(data_dir), plan.options
    )
    datasets.check_dataset(data, f"the data of {name}")
    datasets.check_image(plan.network, data, f"the data of {name}")
    return data, plan


def _given(plan: Plan, data: tuple[Any, Any]) -> tuple[Dataset, Plan]:
    """Return points handed over, divided as the options say, and the plan that fits them."""
    options = plan.options
    assert isinstance(options, FewShotOptions)
    inputs, labels, names = arrays.read_arrays(data)
    if not names:
        raise PlasticError("data: y holds numbers; episodes are of classes: give labels [N]")
    divided = divide(inputs.astype(np.float32), labels, len(names), options)
    datasets.check_image(plan.network, divided, "the data given")
    outputs = len(names) if options.head == "all" else options.ways
    return divided, plan.on(plan.network.between(divided.inputs.shape[1], outputs))


def _episodes(plan: Plan, data: Dataset, held_out: bool) -> tuple[Episodes, NDArray[np.float32]]:
    options = plan.options
    assert isinstance(options, FewShotOptions)
    part = "held-out" if held_out else "training"
    inputs = data.held_out_inputs if held_out else data.inputs
    labels = data.held_out_labels if held_out else data.labels
    if not data.classes:
        raise PlasticError(
            f"the {part} points of {plan.task_entry.name} hold numbers to predict; episodes are of "
            "classes: give labels"
        )
    return Episodes(
        labels.astype(np.int64), options, f"the {part} points of {plan.task_entry.name}"
    ), inputs


def expression(thetas: dict[str, float]) -> str:
    """Return a rule as an expression; terms whose theta is 0 are left out."""
    own = {name: theta for name, theta in thetas.items() if "." in name}
    single = {name: theta for name, theta in thetas.items() if name not in own}
    alive = {name: theta for name, theta in single.items() if theta}
    terms = [f"{theta:.9g}*{name}" for name, theta in (alive if alive or own else single).items()]
    for owner in dict.fromkeys(name.partition(".")[0] for name in own):
        mine = {n.partition(".")[2]: t for n, t in own.items() if n.startswith(f"{owner}.")}
        terms.append(f"{owner} ({', '.join(f'{n} {theta:.9g}' for n, theta in mine.items())})")
    return " + ".join(terms)


def _record(
    spec: MetaSpec, plan: Plan, sources: dict[str, str], threads: int | None
) -> dict[str, Any]:
    entries = [rule.entry for rule in plan.rules] + [one.entry for one in plan.transforms]
    entries.append(plan.task_entry)
    return {
        "format": 1,
        "state": "started",
        "spec": spec.model_dump(mode="json"),
        "options": plan.options.model_dump(mode="json"),
        "network": plan.network.model_dump(mode="json"),
        "rules": [rule.name for rule in plan.rules],
        "sources": sources,
        "plugins": {entry.qualified: entry.version for entry in entries},
        "environment": environment(threads),
    }
