"""A figure about meta-learned rules: what was learned, and how it does on fresh tasks."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
from plastic_core.experiments.reproducing.claims import judge_all
from plastic_core.experiments.reproducing.drawing import draw_to
from plastic_core.experiments.reproducing.figure_spec import ClaimSpec

if TYPE_CHECKING:
    import xarray as xr

# Networks that are tested side by side.
_TOGETHER: Final = 60

# Test tasks are drawn with this seed, whatever the meta-training's.
_TEST_SEED: Final = 2**31


# Of a small version.
_QUICK: Final = {"episodes": 3, "seeds": 2}
_QUICK_TESTS: Final = 6
_QUICK_OPTIONS: Final = {"shots": 8, "queries": 4}


class MetaNetwork(Spec):
    """One kind of task and network, by the options of the task, and the arms that learn it.

    Attributes:
        options: of the task.
        arms: rule expressions, by label.
    """

    options: dict[str, JsonValue]
    arms: dict[str, str]


class MetaFigureSpec(Spec):
    """A figure about meta-learning.

    Attributes:
        name: such as "fig8".
        title: of the whole figure.
        base: fields of the MetaSpec that all arms share.
        tests: fresh tasks on which the learned rules are compared.
        networks: by name.
        claims: judged over the test tasks, paired by task.
    """

    name: str
    title: str
    base: dict[str, JsonValue]
    tests: PositiveInt
    networks: dict[str, MetaNetwork]
    claims: tuple[ClaimSpec, ...]


@dataclass(frozen=True)
class MetaFigure:
    """A figure about meta-learning, ready to be drawn.

    Attributes:
        learned: by network and label.
        tested: accuracy on the queries of each test task, over (seed, step): the tasks stand in
            the place of seeds, and the step is the last.
        claims: each with its verdicts.
    """

    learned: dict[tuple[str, str], MetaResult]
    tested: dict[tuple[str, str], xr.Dataset]
    claims: list[dict[str, Any]]


def read_meta_figure(name: str) -> MetaFigureSpec:
    """Return the stored specification of a figure."""
    text = (files(__package__) / "figures" / f"{name}.toml").read_text(encoding="utf-8")
    return MetaFigureSpec(name=name, **tomllib.loads(text))


def make_meta_figure(
    figure: MetaFigureSpec,
    folder: Path,
    data_dir: str | None,
    threads: int | None,
    on_line: Callable[[str], Any],
) -> MetaFigure:
    """Meta-learn what the folder lacks, test the rules, and judge the claims.

    Args:
        figure: from `read_meta_figure`, changed or not.
        folder: where each meta-learned rule is kept, and continued.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        threads: networks trained at once.
        on_line: called with what is being done.
    """
    learned, tested = {}, {}
    for network, one in figure.networks.items():
        for label, rule in one.arms.items():
            spec = MetaSpec(rule=rule, options=one.options, **figure.base)
            name = f"{network}-{label}".replace(" ", "_").replace(",", "")
            result = meta_learn(
                spec,
                out=place(folder, name, spec),
                resume=True,
                data_dir=data_dir,
                threads=threads,
            )
            on_line(f"{network}, {label}: learned {'; '.join(result.learned)}")
            learned[network, label] = result
            tested[network, label] = _test(result, figure.tests, data_dir, threads)
    return MetaFigure(learned, tested, judge_all(figure.claims, tested))


def _test(result: MetaResult, tests: int, data_dir: str | None, threads: int | None) -> xr.Dataset:
    """Return the accuracy on fresh tasks, the mean over the rules that the seeds learned."""
    import xarray as xr

    plan = plan_meta(result.spec)
    episodes, inputs = load_episodes(plan, data_dir, held_out=True)
    inner = InnerLoop(plan, inputs, "eager", threads or torch.get_num_threads())
    drawn = [episodes.draw(_TEST_SEED, number) for number in range(tests)]
    final: NDArray[np.float64] = result.history["theta"].to_numpy()[:, -1]
    accuracy = np.zeros((len(final), tests))
    for seed, thetas in enumerate(final):
        for start in range(0, tests, _TOGETHER):
            some = drawn[start : start + _TOGETHER]
            answers = inner.test(np.tile(thetas, (len(some), 1)), some)
            accuracy[seed, start : start + len(some)] = answers.accuracy
    return xr.Dataset(
        {"accuracy": (("seed", "step"), accuracy.mean(0)[:, None])},
        coords={"seed": np.arange(tests), "step": [len(drawn[0].points)]},
    )


def report_meta_figure(
    name: str,
    folder: Path,
    changes: dict[str, Any],
    quick: bool,
    data_dir: str | None,
    say: Callable[[str], Any],
) -> dict[str, Any]:
    """Make the figure and draw it; return what is reported of it.

    Args:
        name: of the figure.
        folder: where it is written.
        changes: fields of the meta-learning, as the user changed them.
        quick: a very small version.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
        say: called with what is being done.
    """
    figure = read_meta_figure(name)
    stored: Any = figure.base
    base = {**stored, "seeds": changes.get("seeds", stored["seeds"])}
    if quick:
        base |= _QUICK
        networks = {
            network: one.model_copy(update={"options": {**one.options, **_QUICK_OPTIONS}})
            for network, one in figure.networks.items()
        }
        figure = figure.model_copy(update={"networks": networks, "tests": _QUICK_TESTS})
    small = quick or base["seeds"] < stored["seeds"]
    figure = figure.model_copy(update={"base": base})
    say(f"{name}: {figure.title}")
    done = make_meta_figure(figure, folder, data_dir, None, say)
    note = (
        f"{base['seeds']} seeds, {figure.tests} fresh tasks; shaded, bars: 98% bootstrap interval"
    )
    note = f"SMALL VERSION; {note}" if small else note

    def draw(path: Path) -> None:
        from plastic_core.figures import draw_meta_figure

        histories = {key: result.history for key, result in done.learned.items()}
        draw_meta_figure([*figure.networks], histories, done.tested, figure.title, note, path)

    draw_to(folder, name, draw)
    learned = {
        f"{network}, {label}": result.record["result"]
        for (network, label), result in done.learned.items()
    }
    return {
        "title": figure.title,
        "small": small,
        "base": base,
        "claims": done.claims,
        "learned": learned,
    }
