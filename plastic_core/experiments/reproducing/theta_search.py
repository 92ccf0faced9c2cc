"""The search for the thetas of a figure, each arm on a grid, which grows where it must."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, Final

from plastic_core.api.specs import Theta
from plastic_core.base.errors import PlasticError
from plastic_core.experiments.reproducing.figure_checks import fixed_settings, run_spec_of
from plastic_core.experiments.reproducing.figure_spec import ArmSpec, FigureSpec
from plastic_core.experiments.reproducing.reproduced import train
from plastic_core.experiments.sweeping.arms import SweepSpec, expand
from plastic_core.experiments.sweeping.comparison import Choice, choose
from plastic_core.experiments.sweeping.grid import parse_axis, widened
from plastic_core.experiments.sweeping.sweep import ArmResult, Progress, SweepResult
from plastic_core.plan.expression import parse
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.store import Store

# Times that a grid grows, each by some values, before its edge is left at that; and times that
# the values of each axis are tried with the best of the others.
_GROWTHS: Final = 6
_ROUNDS: Final = 20


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
        others: the points at which arms with some of its rules are best, tried too; by label.
        started_from: the label of the one that the search went on from.
    """

    network: str
    arm: ArmSpec
    start: dict[str, str]
    grid: dict[str, str]
    tried: list[ArmResult] = field(default_factory=list)
    choice: Choice | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    started_from: str | None = None

    def choose(self, figure: FigureSpec) -> None:
        """Choose the best of what was tried."""
        self.choice = _choice(figure, self, self.tried)
        for label, point in self.others.items():
            if point == self.best.arm.point:
                self.started_from = label

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
            accepted = partial(self._accepts, figure, catalogue, axis)
            to_zero = _may_be_zero(axis, catalogue)
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

    def lines(self) -> Iterator[dict[str, tuple[Any, ...]]]:
        """Yield a grid for each axis: its values not yet tried with the best of all others."""
        tried, best = [one.arm.point for one in self.tried], self.best.arm.point
        for axis, values in self.grid.items():
            new = [v for v in _values(values) if {**best, axis: v} not in tried]
            if new:
                yield {**{name: (value,) for name, value in best.items()}, axis: tuple(new)}

    def starts(
        self, every: list[_Searched], catalogue: Catalogue
    ) -> Iterator[dict[str, tuple[Any, ...]]]:
        """Yield where arms with some of its rules are best, the thetas of its other rules at 0."""
        tried = [one.arm.point for one in self.tried]
        for other in every:
            if other.network != self.network or not _is_part(other.arm, self.arm, catalogue):
                continue
            point = {axis: other.best.arm.point.get(axis, 0) for axis in self.start}
            if point not in tried:
                self.others[other.arm.label] = point
                yield {axis: (value,) for axis, value in point.items()}


def search(
    figure: FigureSpec, store: Store, on_choice: Callable[[str], Any], **where: Any
) -> tuple[FigureSpec, list[dict[str, Any]]]:
    """Choose the thetas of all arms anew, each on its grid, on the choosing half.

    An axis at whose end the best theta lies grows beyond it, the other thetas staying at their
    best, until the best lies inside, or the rule accepts nothing beyond. It grows for all arms of
    the network that have it, so that none is tried at a value at which another was not. Each axis
    of a grid that grew is tried with the best of the others until nothing is better. Then an arm is
    tried where others that have some of its rules alone are best, and goes on from there if that is
    better.

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
        _Searched(name, arm, grid := _grid_of(figure, arm), {**grid})
        for name, network in figure.networks.items()
        if network.thetas_of is None
        for arm in network.arms
    ]
    wanted = [(one, {axis: _values(text) for axis, text in one.start.items()}) for one in every]
    for count in range(1, _ROUNDS + 1):
        _try(figure, wanted, store, catalogue, where)
        for one in every:
            one.choose(figure)
            if count <= _GROWTHS:
                one.grid = one.wider(figure, catalogue)
        _share(every)
        wanted = [(one, line) for one in every for line in one.lines()]
        wanted = wanted or [(one, at) for one in every for at in one.starts(every, catalogue)]
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


def _share(every: list[_Searched]) -> None:
    """Give each axis the values that it has in any arm of the network."""
    for one, other in product(every, every):
        for axis, start in one.start.items():
            if (one.network, start) == (other.network, other.start.get(axis)):
                one.grid[axis] = _joined(one.grid[axis], _values(other.grid[axis]))


def _joined(text: str, more: Iterable[Any]) -> str:
    """Return an axis with the values that it lacks, those below all of its own in front."""
    values = _values(text)
    new = sorted(value for value in more if value not in values)
    below = [f"{value}," for value in new if value < min(values)]
    return "".join([*below, text, *(f",{value}" for value in new[len(below) :])])


def _is_part(part: ArmSpec, whole: ArmSpec, catalogue: Catalogue) -> bool:
    """Return whether an arm is another without some of its rules, whose thetas may all be 0."""
    if not part.rule or not whole.rule:
        return False  # of stages
    left_out = {term.name for term in {*parse(whole.rule)} - {*parse(part.rule)}}
    settings = {owner: own for owner, own in whole.settings.items() if owner not in left_out}
    own = {name: getattr(part, name) for name in ("label", "rule", "thetas", "grid", "at_least")}
    return (
        {*parse(part.rule)} < {*parse(whole.rule)}
        and {*part.thetas} <= {*whole.thetas}
        and part == whole.model_copy(update={**own, "settings": settings})
        and all(
            axis.partition(".")[0] in left_out and _may_be_zero(axis, catalogue)
            for axis in {*whole.thetas} - {*part.thetas}
        )
    )


def _may_be_zero(axis: str, catalogue: Catalogue) -> bool:
    """Return whether an axis holds thetas, the least of which is 0."""
    owner, _, setting = axis.partition(".")
    if setting and not setting.startswith("theta."):
        return False
    theta: Theta = catalogue.class_of("rule", owner).spec.theta_of(setting.removeprefix("theta."))
    return theta.min == 0


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
        for axis, value in result.arm.point.items():
            one.grid[axis] = _joined(one.grid[axis], [value])


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
        **({"started_from": one.started_from} if one.started_from else {}),
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
    probes = {name.partition(":")[2] or name for name in spec.probes}
    fixed = fixed_settings(figure, one.arm)
    changes = {
        "settings": {owner: own for owner, own in fixed.items() if owner not in probes},
        "seeds": figure.search_seeds or spec.seeds,
        "probes": (),
        "evaluations": 1,
        "eval_half": "choose",
    }
    return SweepSpec(rules=(spec.rule,), grid=grid, base=spec.model_copy(update=changes))
