"""Thetas by gradient against thetas by grid, and how the gradient grows with the episode."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue, PositiveInt

from plastic_core.base.spec import Spec
from plastic_core.experiments.meta.inner_loop import InnerLoop
from plastic_core.experiments.meta.meta_folder import place
from plastic_core.experiments.meta.meta_learning import (
    MetaResult,
    load_episodes,
    meta_learn,
    plan_meta,
)
from plastic_core.experiments.meta.meta_spec import MetaSpec
from plastic_core.experiments.reproducing.drawing import draw_to
from plastic_core.experiments.reproducing.figure_files import read_figure
from plastic_core.experiments.reproducing.figure_spec import ArmSpec, ClaimSpec, FigureSpec
from plastic_core.experiments.reproducing.reproduced import Reproduced, Watch, train_and_judge
from plastic_core.results.store import Store

#: Label of the arm whose thetas were learned by their gradient.
LEARNED: Final = "BP+Oja, by gradient"

# Thetas are averaged over so many of the last episodes.
_LAST: Final = 10


# Of a small version.
_QUICK: Final = {"episodes": 3, "seeds": 2}
_QUICK_GROWTH: Final = {"networks": 2, "lengths": (10, 30)}
_QUICK_OPTIONS: Final = {"shots": 8, "queries": 4}


class GrowthSpec(Spec):
    """Episodes of different lengths, at fixed thetas.

    Attributes:
        networks: of which the median is taken.
        lengths: training points of an episode.
        arms: rule expressions, by label.
    """

    networks: PositiveInt
    lengths: tuple[PositiveInt, ...]
    arms: dict[str, str]


class MetagridSpec(Spec):
    """The comparison.

    Attributes:
        title: of the figure.
        network: of networks.toml, whose arms hold the grid's best thetas.
        base: fields of the MetaSpec.
        growth: of the gradient.
        claims: judged over seeds of the same run as Figure 1b's.
    """

    title: str
    network: str
    base: dict[str, JsonValue]
    growth: GrowthSpec
    claims: tuple[ClaimSpec, ...]


@dataclass(frozen=True)
class Metagrid:
    """What was found, ready to be drawn.

    Attributes:
        learned: the meta-training.
        compared: the runs at the thetas of the grid and at those learned, and the claims.
        growth: by label, the median over networks of ``|theta dL/dtheta|`` of the error's own
            term for each length.
    """

    learned: MetaResult
    compared: Reproduced
    growth: dict[str, NDArray[np.float64]]


def read_metagrid() -> MetagridSpec:
    """Return the stored specification."""
    text = (files(__package__) / "figures" / "metagrid.toml").read_text(encoding="utf-8")
    return MetagridSpec(**tomllib.loads(text))


def make_metagrid(
    spec: MetagridSpec,
    folder: Path,
    store: Store,
    changes: dict[str, Any],
    data_dir: str | None,
    on_line: Callable[[str], Any],
    **where: Any,
) -> Metagrid:
    """Learn what the folder lacks, train what the store lacks, and judge the claims.

    Args:
        spec: from `read_metagrid`, changed or not.
        folder: where the meta-training is kept, and continued.
        store: of finished networks.
        changes: fields of the runs that are compared.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        on_line: called with what is being done.
        where: workers and on_progress, as `train_arms` takes them.
    """
    meta = MetaSpec(**spec.base)
    learned = meta_learn(meta, out=place(folder, "meta", meta), resume=True, data_dir=data_dir)
    on_line(f"learned {'; '.join(learned.learned)}")
    growth = {
        label: _growth(meta.model_copy(update={"rule": rule}), spec.growth, data_dir)
        for label, rule in spec.growth.arms.items()
    }
    thetas = learned.history["theta"].isel(step=slice(-_LAST, None)).mean(("seed", "step"))
    found = dict(zip(thetas["rule"].to_numpy().tolist(), thetas.to_numpy().tolist(), strict=True))
    figure = _figure(spec, found, changes)
    return Metagrid(learned, train_and_judge(figure, store, data_dir=data_dir, **where), growth)


def _figure(spec: MetagridSpec, thetas: dict[str, float], changes: dict[str, Any]) -> FigureSpec:
    """Return the runs that are compared as a figure of their own."""
    shared = read_figure("fig1b")
    network = shared.networks[spec.network]
    arm = ArmSpec(label=LEARNED, rule="oja+bp", thetas=thetas)
    return shared.model_copy(
        update={
            "name": "metagrid",
            "title": spec.title,
            "base": {**shared.base, **changes},
            "networks": {spec.network: network.model_copy(update={"arms": (*network.arms, arm)})},
            "panels": (),
            "claims": spec.claims,
        }
    )


def _growth(meta: MetaSpec, growth: GrowthSpec, data_dir: str | None) -> NDArray[np.float64]:
    plan = plan_meta(meta)
    episodes, inputs = load_episodes(plan, data_dir, held_out=False)
    inner = InnerLoop(plan, inputs, "auto", torch.get_num_threads())
    thetas = np.array([rule.theta for rule in plan.rules])
    own = [rule.rule.spec.propagates for rule in plan.rules].index(True)
    drawn = [episodes.draw(0, number) for number in range(growth.networks)]
    found = []
    for length in growth.lengths:
        some = [replace(e, points=e.points[:length], labels=e.labels[:length]) for e in drawn]
        answers = inner.learn(np.tile(thetas, (len(some), 1)), some)
        found.append(np.median(np.abs(thetas[own] * answers.gradient[:, own])))
    return np.array(found)


def report_metagrid(
    folder: Path,
    store: Store,
    changes: dict[str, Any],
    quick: bool,
    where: dict[str, Any],
    say: Callable[[str], Any],
    watch: Watch,
) -> dict[str, Any]:
    """Make the figure and draw it; return what is reported of it.

    Args:
        folder: where it is written.
        store: of finished networks.
        changes: fields of the runs that are compared, as the user changed them.
        quick: a very small version.
        where: workers and data_dir.
        say: called with what is being done.
        watch: gives what is called with the progress of the networks, as a context.
    """
    spec = read_metagrid()
    if quick:
        stored: Any = spec.base
        base = {**stored, **_QUICK, "options": {**stored["options"], **_QUICK_OPTIONS}}
        growth = spec.growth.model_copy(update=_QUICK_GROWTH)
        spec = spec.model_copy(update={"base": base, "growth": growth})
    say(f"metagrid: {spec.title}")
    with watch() as show:
        done = make_metagrid(spec, folder, store, changes, on_line=say, on_progress=show, **where)
    compared = done.compared
    curves = {label: data for (_, label), data in compared.results.items()}
    best = next(
        arm.thetas for arm in compared.figure.networks[spec.network].arms if arm.label == "BP+Oja"
    )
    paper, used = read_figure("fig1b").base, compared.figure.base
    sizes: Any = [(used[name], paper[name]) for name in ("seeds", "samples")]
    small = quick or any(now < before for now, before in sizes)
    note = (
        f"{spec.base['episodes']} episodes; b: mean of {used['seeds']} networks, shaded: 98% "
        f"bootstrap interval; c: {spec.growth.networks} networks"
    )
    note = f"SMALL VERSION; {note}" if small else note

    def draw(path: Path) -> None:
        from plastic_core.figures import draw_metagrid

        history, lengths = done.learned.history, spec.growth.lengths
        draw_metagrid(history, best, curves, lengths, done.growth, spec.title, note, path)

    draw_to(folder, "metagrid", draw)
    return {
        "title": spec.title,
        "small": small,
        "base": spec.base,
        "claims": compared.claims,
        "learned": done.learned.record["result"],
        "growth": {
            "lengths": list(spec.growth.lengths),
            **{label: sizes.tolist() for label, sizes in done.growth.items()},
        },
    }
