"""One figure of the paper: its networks trained or read from the store, its claims judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plastic_core.catalogue import Catalogue
from plastic_core.errors import PlasticError
from plastic_core.plan import make_plan
from plastic_core.reproducing.claims import judge
from plastic_core.reproducing.figure_spec import ArmSpec, FigureSpec
from plastic_core.specs import RunSpec
from plastic_core.store import Store
from plastic_core.sweeping.arms import Arm, SweepSpec, expand
from plastic_core.sweeping.compare import choose
from plastic_core.sweeping.grid import parse_axis
from plastic_core.sweeping.sweep import Progress, train_arms

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Reproduced:
    """A figure, ready to be drawn.

    Attributes:
        figure: its specification, with the thetas that were used.
        results: curves by network and label of the arm.
        claims: each with its verdicts.
        progress: how many networks were trained, and how many were in the store.
    """

    figure: FigureSpec
    results: dict[tuple[str, str], xr.Dataset]
    claims: list[dict[str, Any]]
    progress: Progress


def reproduce(figure: FigureSpec, store: Store, **where: Any) -> Reproduced:
    """Train what the store lacks, and judge the claims.

    Args:
        figure: from `read_figure`, changed or not.
        store: read first, and added to.
        where: workers, data_dir and on_progress, as `train_arms` takes them.

    Raises:
        PlasticError: anything wrong with the spec, the data or the store, or a network failed.
    """
    catalogue = Catalogue()
    names, arms = [], []
    for network, one in figure.networks.items():
        for arm in one.arms:
            names.append((network, arm.label))
            spec = _run_spec(figure, one.options, arm)
            arms.append(Arm(arm.rule, {}, make_plan(spec, catalogue)))
    trained = train_arms(arms, store, **where)
    if trained.progress.failed:
        reason = next(iter(trained.progress.failed.values()))
        raise PlasticError(
            f"{figure.name}: {len(trained.progress.failed)} networks failed: {reason}; what is "
            "finished is in the store, and the same command goes on"
        )
    results = {name: arm.curves() for name, arm in zip(names, trained.arms, strict=True)}
    claims = [
        {**claim.model_dump(mode="json", exclude_none=True), "verdicts": judge(claim, results)}
        for claim in figure.claims
    ]
    return Reproduced(figure, results, claims, trained.progress)


def search(
    figure: FigureSpec, store: Store, on_choice: Callable[[str], Any], **where: Any
) -> tuple[FigureSpec, list[dict[str, Any]]]:
    """Choose the thetas of all arms anew, every arm on the same grid, on the choosing half.

    Returns:
        The figure with these thetas, and a record of each choice.
    """
    axes = dict(parse_axis(f"{name}={values}") for name, values in figure.grid.items())
    networks, record = {}, []
    shared = {k: v for k, v in figure.base.items() if k not in ("probes", "settings")}
    for name, network in figure.networks.items():
        fields = {**shared, "options": network.options, "evaluations": 1, "eval_half": "choose"}
        rules = tuple(arm.rule for arm in network.arms)
        spec = SweepSpec(rules=rules, grid=axes, base=RunSpec(**fields))
        chosen = choose(spec, train_arms(expand(spec, Catalogue()), store, **where))
        arms = []
        for arm, choice in zip(network.arms, chosen, strict=True):
            arms.append(arm.model_copy(update={"thetas": choice.arm.thetas}))
            record.append(
                {
                    "network": name,
                    "rule": arm.rule,
                    "thetas": choice.arm.thetas,
                    "accuracy": choice.accuracy,
                    "points": choice.tried,
                    "at_edge": list(choice.at_edge),
                    "grid": {axis: figure.grid[axis] for axis in choice.arm.point},
                    "seeds": spec.base.seeds,
                    "samples": spec.base.samples,
                }
            )
            on_choice(f"{name}, {arm.rule}: {choice.arm.thetas}")
        networks[name] = network.model_copy(update={"arms": tuple(arms)})
    return figure.model_copy(update={"networks": networks}), record


def _run_spec(figure: FigureSpec, options: dict[str, Any], arm: ArmSpec) -> RunSpec:
    base: dict[str, Any] = dict(figure.base)
    thetas = {rule: {"theta": theta} for rule, theta in arm.thetas.items()}
    settings = {**base.pop("settings", {}), **thetas}
    return RunSpec(rule=arm.rule, options=options, settings=settings, **base)
