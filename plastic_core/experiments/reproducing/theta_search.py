"""The search for the thetas of a figure, each arm on a grid, which grows where it must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from plastic_core.base.errors import PlasticError
from plastic_core.experiments.reproducing.figure_spec import ArmSpec, FigureSpec
from plastic_core.experiments.reproducing.reproduced import run_spec_of, train
from plastic_core.experiments.sweeping.arms import SweepSpec, expand
from plastic_core.experiments.sweeping.comparison import Choice, choose
from plastic_core.experiments.sweeping.grid import parse_axis, widened
from plastic_core.experiments.sweeping.sweep import ArmResult, Progress, SweepResult
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.store import Store

# Times that a grid grows, each by some values, before its edge is left at that; and times that
# the values of each axis are tried with the best of the others.
_GROWTHS: Final = 6
_ROUNDS: Final = 12


@dataclass
class _Searched:
    """An arm of a network, and what was tried for it.

    Attributes:
        network: by name.
        arm: the arm.
        start: the grid, every point of which is tried first.
        grid: its axes with all values that were tried.
        tried: the arm at each point.
        choice: the best of them.
    """

    network: str
    arm: ArmSpec
    start: dict[str, str]
    grid: dict[str, str]
    tried: list[ArmResult] = field(default_factory=list)
    choice: Choice | None = None

    @property
    def best(self) -> Choice:
        """The best of what was tried."""
        assert self.choice is not None
        return self.choice

    @property
    def shown(self) -> list[ArmResult]:
        """What was tried with as much of each rule as is to be seen."""
        least = self.arm.at_least.items()
        return [
            one for one in self.tried if all(one.arm.point[axis] >= value for axis, value in least)
        ]

    def wider(self, figure: FigureSpec, catalogue: Catalogue) -> dict[str, str]:
        """Return its grid with more values on the axes at whose end the choice lies."""
        wider, point = dict(self.grid), self.best.arm.point
        for axis in self.best.at_edge:
            owner, _, setting = axis.partition(".")
            to_zero = False
            if setting == "" or setting.startswith("theta."):
                spec = catalogue.class_of("rule", owner).spec
                to_zero = spec.theta_of(setting.removeprefix("theta.")).min == 0
            accepted = partial(self._accepts, figure, catalogue, axis)
            grown = widened(self.grid[axis], point[axis], to_zero, accepted)
            wider[axis] = grown or self.grid[axis]
        return wider

    def _accepts(self, figure: FigureSpec, catalogue: Catalogue, axis: str, value: float) -> bool:
        grid = {name: (one,) for name, one in {**self.best.arm.point, axis: value}.items()}
        try:
            expand(_sweep_spec(figure, self, grid), catalogue)
        except PlasticError:
            return False
        return True

    def lines(self, wider: dict[str, str]) -> Iterator[dict[str, tuple[Any, ...]]]:
        """Yield a grid for each axis: its values not yet tried with the best of all others."""
        tried, best = [one.arm.point for one in self.tried], self.best.arm.point
        for axis, values in wider.items():
            new = [v for v in _values(values) if {**best, axis: v} not in tried]
            if new:
                yield {**{name: (value,) for name, value in best.items()}, axis: tuple(new)}


def search(
    figure: FigureSpec, store: Store, on_choice: Callable[[str], Any], **where: Any
) -> tuple[FigureSpec, list[dict[str, Any]]]:
    """Choose the thetas of all arms anew, each on its grid, on the choosing half.

    An axis at whose end the best theta lies grows beyond it, the other thetas staying at their
    best, until the best lies inside, or the rule accepts nothing beyond. It grows for all arms of
    the network that have it, so that none is tried at a value at which another was not. Each axis
    of a grid that grew is tried with the best of the others until nothing is better.

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
    wanted = [(one, {axis: _values(text) for axis, text in one.start.items()}) for one in every]
    for count in range(1, _ROUNDS + 1):
        _try(figure, wanted, store, catalogue, where)
        for one in every:
            one.choice = _choice(figure, one, one.tried)
        wanted = []
        grids = [one.grid for one in every]
        wider = _grown(figure, every, catalogue) if count <= _GROWTHS else grids
        for one, grid in zip(every, wider, strict=True):
            wanted += [(one, line) for line in one.lines(grid)]
            one.grid = grid
        if not wanted:
            break
    record = []
    chosen: dict[str, list[ArmSpec]] = {name: [] for name in figure.networks}
    for one in every:
        shown = _choice(figure, one, one.shown) if one.arm.at_least else one.best
        thetas = shown.arm.point
        chosen[one.network].append(one.arm.model_copy(update={"thetas": thetas}))
        record.append(_recorded(one, shown))
        grown = " (the grid grew)" if one.grid != one.start else ""
        on_choice(f"{one.network}, {one.arm.label}: {thetas}{grown}")
    networks = {
        name: network.model_copy(update={"arms": tuple(chosen[network.thetas_of or name])})
        for name, network in figure.networks.items()
    }
    return figure.model_copy(update={"networks": networks}), record


def _grown(
    figure: FigureSpec, every: list[_Searched], catalogue: Catalogue
) -> list[dict[str, str]]:
    """Return the grids of all arms, each axis as wide as the widest in the network."""
    wider = [one.wider(figure, catalogue) for one in every]
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


def _try(
    figure: FigureSpec,
    wanted: list[tuple[_Searched, dict[str, tuple[Any, ...]]]],
    store: Store,
    catalogue: Catalogue,
    where: dict[str, Any],
) -> None:
    """Train arms at all points of grids, and add what came out to what was tried."""
    points = [
        (one, point)
        for one, grid in wanted
        for point in expand(_sweep_spec(figure, one, grid), catalogue)
    ]
    trained = train([(one.arm, point) for one, point in points], store, **where)
    for (one, _), result in zip(points, trained.arms, strict=True):
        one.tried.append(result)


def _choice(figure: FigureSpec, one: _Searched, tried: list[ArmResult]) -> Choice:
    grid = {axis: _values(text) for axis, text in one.grid.items()}
    found = SweepResult(tried, Progress(len(tried)))
    (choice,) = choose(_sweep_spec(figure, one, grid), found)
    return choice


def _recorded(one: _Searched, shown: Choice) -> dict[str, Any]:
    spec, best = one.best.arm.plan.spec, one.best
    at_least = {"at_least": one.arm.at_least, "best": best.arm.point, "best_accuracy": best.mean}
    return {
        "network": one.network,
        "arm": one.arm.label,
        "rule": one.arm.rule,
        "thetas": shown.arm.point,
        "accuracy": shown.mean,
        **(at_least if one.arm.at_least else {}),
        "points": len(one.tried),
        "at_edge": list(best.at_edge),
        "grid": one.start,
        **({"grown": one.grid} if one.grid != one.start else {}),
        "seeds": spec.seeds,
        "samples": spec.samples,
    }


def _grid_of(figure: FigureSpec, arm: ArmSpec) -> dict[str, str]:
    return {axis: arm.grid.get(axis) or figure.grid[axis] for axis in arm.thetas}


def _values(text: str) -> tuple[Any, ...]:
    return parse_axis(f"axis={text}")[1]


def _sweep_spec(figure: FigureSpec, one: _Searched, grid: dict[str, tuple[Any, ...]]) -> SweepSpec:
    """Return the search of one arm, without probes, which would measure what nobody reads."""
    spec = run_spec_of(figure, figure.networks[one.network].options, one.arm)
    changes = {
        "settings": one.arm.settings,
        "seeds": figure.search_seeds or spec.seeds,
        "probes": (),
        "evaluations": 1,
        "eval_half": "choose",
    }
    return SweepSpec(rules=(one.arm.rule,), grid=grid, base=spec.model_copy(update=changes))
