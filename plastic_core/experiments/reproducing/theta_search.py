"""The search for the thetas of a figure, each arm on a grid, which grows where it must."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from plastic_core.experiments.reproducing.figure_spec import ArmSpec, FigureSpec
from plastic_core.experiments.reproducing.reproduced import run_spec_of, train
from plastic_core.experiments.sweeping.arms import SweepSpec, expand
from plastic_core.experiments.sweeping.comparison import Choice, choose
from plastic_core.experiments.sweeping.grid import parse_axis, widened
from plastic_core.experiments.sweeping.sweep import SweepResult
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.store import Store

# Times that a grid grows, each by some values, before its edge is left at that.
_GROWTHS: Final = 6


@dataclass
class _Searched:
    """An arm of a network, and what was tried for it."""

    network: str
    arm: ArmSpec
    start: dict[str, str]
    grid: dict[str, str]
    choice: Choice | None = None

    def wider(self, catalogue: Catalogue) -> dict[str, str]:
        """Return its grid with more values on the axes at whose end the choice lies."""
        assert self.choice is not None
        wider = dict(self.grid)
        for axis in self.choice.at_edge:
            owner, _, setting = axis.partition(".")
            theta = setting == "" or setting.startswith("theta.")
            to_zero = theta and catalogue.class_of("rule", owner).spec.theta.min == 0
            grown = widened(self.grid[axis], self.choice.arm.point[axis], to_zero)
            wider[axis] = grown or self.grid[axis]
        return wider


def search(
    figure: FigureSpec, store: Store, on_choice: Callable[[str], Any], **where: Any
) -> tuple[FigureSpec, list[dict[str, Any]]]:
    """Choose the thetas of all arms anew, each on its grid, on the choosing half.

    A grid whose best value lies at its end grows beyond it until it lies inside, or the rule
    accepts nothing beyond. It grows for all arms of the network that have this axis, so that none
    is tried at a theta that another was not.

    Args:
        figure: from `read_figure`, changed or not.
        store: read first, and added to.
        on_choice: called with a line for each choice.
        where: workers, data_dir and on_progress, as `train_arms` takes them.

    Returns:
        The figure with these thetas, and a record of each choice.

    Raises:
        PlasticError: anything wrong with the grid, the data or the store.
    """
    catalogue = Catalogue()
    every = [
        _Searched(name, arm, grid := _grid_of(figure, arm), grid)
        for name, network in figure.networks.items()
        if network.thetas_of is None
        for arm in network.arms
    ]
    _choose(figure, every, store, catalogue, where)
    for _ in range(_GROWTHS):
        grids = _grown(every, catalogue)
        growing = [one for one, grid in zip(every, grids, strict=True) if one.grid != grid]
        for one, grid in zip(every, grids, strict=True):
            one.grid = grid
        if not growing:
            break
        _choose(figure, growing, store, catalogue, where)
    record = []
    chosen: dict[str, list[ArmSpec]] = {name: [] for name in figure.networks}
    for one in every:
        assert one.choice is not None
        thetas = one.choice.arm.point
        chosen[one.network].append(one.arm.model_copy(update={"thetas": thetas}))
        record.append(_recorded(figure, one, one.choice))
        grown = " (the grid grew)" if one.grid != one.start else ""
        on_choice(f"{one.network}, {one.arm.label}: {thetas}{grown}")
    networks = {
        name: network.model_copy(update={"arms": tuple(chosen[network.thetas_of or name])})
        for name, network in figure.networks.items()
    }
    return figure.model_copy(update={"networks": networks}), record


def _grown(every: list[_Searched], catalogue: Catalogue) -> list[dict[str, str]]:
    """Return the grids of all arms, each axis as wide as the widest in the network."""
    wider = [one.wider(catalogue) for one in every]
    ends: dict[tuple[str, str, str], tuple[str, str]] = {}
    for one, grid in zip(every, wider, strict=True):
        for axis, start in one.start.items():
            key = one.network, axis, start
            before, _, after = grid[axis].partition(start)
            below, above = ends.get(key, ("", ""))
            ends[key] = max(below, before, key=len), max(above, after, key=len)
    return [
        {axis: start.join(ends[one.network, axis, start]) for axis, start in one.start.items()}
        for one in every
    ]


def _choose(
    figure: FigureSpec,
    searched: list[_Searched],
    store: Store,
    catalogue: Catalogue,
    where: dict[str, Any],
) -> None:
    """Train all points of the grids as they are, and set the choices."""
    sweeps = [_sweep_spec(figure, one) for one in searched]
    wanted = [
        [(one.arm, point) for point in expand(sweep, catalogue)]
        for one, sweep in zip(searched, sweeps, strict=True)
    ]
    trained = train([one for points in wanted for one in points], store, **where)
    results = iter(trained.arms)
    for one, sweep, points in zip(searched, sweeps, wanted, strict=True):
        found = SweepResult([next(results) for _ in points], trained.progress)
        (one.choice,) = choose(sweep, found)


def _recorded(figure: FigureSpec, one: _Searched, choice: Choice) -> dict[str, Any]:
    spec = choice.arm.plan.spec
    return {
        "network": one.network,
        "arm": one.arm.label,
        "rule": one.arm.rule,
        "thetas": choice.arm.point,
        "accuracy": choice.mean,
        "points": choice.tried,
        "at_edge": list(choice.at_edge),
        "grid": one.start,
        **({"grown": one.grid} if one.grid != one.start else {}),
        "seeds": spec.seeds,
        "samples": spec.samples,
    }


def _grid_of(figure: FigureSpec, arm: ArmSpec) -> dict[str, str]:
    return {axis: arm.grid.get(axis) or figure.grid[axis] for axis in arm.thetas}


def _sweep_spec(figure: FigureSpec, one: _Searched) -> SweepSpec:
    """Return the search of one arm, without probes, which would measure what nobody reads."""
    spec = run_spec_of(figure, figure.networks[one.network].options, one.arm)
    changes = {
        "settings": one.arm.settings,
        "seeds": figure.search_seeds or spec.seeds,
        "probes": (),
        "evaluations": 1,
        "eval_half": "choose",
    }
    axes = dict(parse_axis(f"{axis}={values}") for axis, values in one.grid.items())
    return SweepSpec(rules=(one.arm.rule,), grid=axes, base=spec.model_copy(update=changes))
