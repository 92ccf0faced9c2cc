"""Before anything of a figure is trained: its arms planned, its claims and panels looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from plastic_core.api.network_spec import NetworkSpec
from plastic_core.base.errors import PlasticError, did_you_mean, listing
from plastic_core.experiments.reproducing.claims import Results, check, check_part
from plastic_core.experiments.reproducing.figure_spec import ArmSpec, FigureSpec, PanelSpec
from plastic_core.plan.plan import Plan, make_plan
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plugins.catalogue import Catalogue
from plastic_core.results.labelled_curves import blank_curves

Plans = Mapping[tuple[str, str], Plan]


def run_spec_of(figure: FigureSpec, options: dict[str, Any], arm: ArmSpec) -> RunSpec:
    """Return the run that an arm is, on the network of `options`.

    Raises:
        PlasticError: a field is at fault, or there is no rule.
    """
    base: dict[str, Any] = {**figure.base, **arm.base}
    base.pop("settings", None)
    settings = fixed_settings(figure, arm)
    for axis, value in arm.thetas.items():
        owner, _, name = axis.partition(".")
        settings.setdefault(owner, {})[name or "theta"] = value
    spec = RunSpec(
        options={**options, **arm.options},
        settings=settings,
        transforms=arm.transforms,
        batch_size=arm.batch_size,
        **({"rule": arm.rule} if arm.rule else {}),
        **base,
    )
    if not arm.rule and not (spec.stages and all(stage.rule for stage in spec.stages)):
        raise PlasticError("rule: is required and missing")
    return spec


def fixed_settings(figure: FigureSpec, arm: ArmSpec) -> dict[str, dict[str, Any]]:
    """Return the settings of an arm that no search changes, by owner."""
    base: dict[str, Any] = {**figure.base, **arm.base}
    fixed = {**base.get("settings", {}), **arm.settings}
    return {owner: dict(values) for owner, values in fixed.items()}


def sizes_of(figure: FigureSpec) -> tuple[int, int]:
    """Return how many networks an arm has, and training points each; the most of any arm."""
    specs = [
        run_spec_of(figure, one.options, arm)
        for one in figure.networks.values()
        for arm in one.arms
    ]
    return max(spec.seeds for spec in specs), max(spec.samples for spec in specs)


def plans_of(figure: FigureSpec) -> Plans:
    """Return the plan of each arm, by network and label.

    Raises:
        PlasticError: something of an arm is unknown or does not fit, or a claim or panel is about
            what is not measured.
    """
    catalogue, plans = Catalogue(), {}
    for network, one in figure.networks.items():
        for arm in one.arms:
            try:
                planned = make_plan(run_spec_of(figure, one.options, arm), catalogue)
                if arm.batch_norm:
                    _check_batch_norm(planned)
            except PlasticError as error:
                raise PlasticError(f"{figure.name}, {network}, {arm.label}: {error}") from None
            plans[network, arm.label] = planned
    lengths = {plan.spec.samples: label for (_, label), plan in plans.items()}
    if len(lengths) > 1:
        (few, short), *_, (many, long) = sorted(lengths.items())
        raise PlasticError(
            f"{figure.name}: {short} has {few} training points and {long} {many}, and arms are "
            "paired; give all as many, by samples in the base"
        )
    blank = {name: blank_curves(plan).dataset() for name, plan in plans.items()}
    try:
        for claim in figure.claims:
            check(claim, blank)
        for panel in figure.panels:
            _check_panel(panel, blank)
    except PlasticError as error:
        raise PlasticError(f"{figure.name}: {error}") from None
    return plans


def _check_batch_norm(plan: Plan) -> None:
    """Refuse what autograd does not do beside batch normalisation.

    Raises:
        PlasticError: the arm asks for more than it does.
    """
    net = plan.network
    plain = isinstance(net, NetworkSpec) and net == NetworkSpec(
        sizes=net.sizes, activation=net.activation, init=net.init, init_std=net.init_std
    )
    more = (plan.transforms, plan.probes, plan.schedules, plan.stages, plan.judged_by_readout)
    everywhere = plan.rules[0].layers == tuple(range(1, plan.circuit.depth + 1))
    if not plain or [*plan.thetas] != ["bp"] or not everywhere or any(more) or plan.parent:
        raise PlasticError(
            "batch_norm: autograd trains it, by rule bp with one theta, on a dense network without "
            "biases, residual connections and layer normalisation, with cross-entropy; leave out "
            "everything else, probes, transforms, schedules, stages and readouts too"
        )


def check_search(figure: FigureSpec) -> None:
    """Refuse a search without a grid.

    Raises:
        PlasticError: naming the theta that has none.
    """
    for network, one in figure.networks.items():
        for arm in one.arms:
            for axis in arm.thetas:
                if not (arm.grid.get(axis) or figure.grid.get(axis)):
                    raise PlasticError(
                        f"{figure.name}, {network}, {arm.label}: --search has no grid for "
                        f"'{axis}'; its figure needs one, such as grid.{axis} = \"1e-4:1e-1:7log\""
                    )


def with_panels(figure: FigureSpec, plans: Plans) -> FigureSpec:
    """Return a figure that says what is drawn: where it does not, the score of each network."""
    if figure.panels:
        return figure
    arms: dict[tuple[str, str], list[str]] = {}
    for (network, label), plan in plans.items():
        arms.setdefault((network, plan.score.name), []).append(label)
    panels = [
        PanelSpec(kind="curves", variable=score, network=network, arms=tuple(labels))
        for (network, score), labels in arms.items()
    ]
    return figure.model_copy(update={"panels": tuple(panels)})


_OVER_STEPS: Final = frozenset({"seed", "step"})

# The dimensions of what each kind of panel draws; a profile has one more of its own.
_DIMENSIONS: Final = {
    "curves": (_OVER_STEPS,),
    "scan": (_OVER_STEPS,),
    "course": (_OVER_STEPS, _OVER_STEPS | {"layer"}),
    "layers": (_OVER_STEPS | {"layer"},),
    "components": (frozenset({"seed", "layer", "component"}),),
    "images": (frozenset({"seed", "layer", "point", "pixel"}),),
    "filters": (frozenset({"seed", "unit", "channel", "row", "column"}),),
}

# What it must say, of what others may leave out.
_NEEDS: Final = {
    "layers": ("arm",),
    "images": ("arm", "layers"),
    "filters": ("arm",),
    "components": ("layers",),
    "scan": ("points",),
}


def _check_panel(panel: PanelSpec, results: Results) -> None:
    where = f"the panel of {panel.variable}, {panel.network}"
    for name in _NEEDS.get(panel.kind, ()):
        if not getattr(panel, name):
            raise PlasticError(f"{where}: kind '{panel.kind}' needs {name}")
    for (network, label), curves in results.items():
        shown = panel.arms or ((panel.arm,) if panel.arm else (label,))
        if network not in {panel.network, *panel.points} or label not in shown:
            continue
        if panel.variable not in curves:
            names = [*map(str, curves.data_vars)]
            raise PlasticError(
                f"{where}: {label} has no such variable{did_you_mean(panel.variable, names)}\n"
                f"  it has {listing(names)}; what a probe measures is there where base.probes "
                "names it"
            )
        found = frozenset(map(str, curves[panel.variable].dims))
        found -= {"rule"} if panel.rule is not None else set()
        if panel.part is not None and "part" in found:
            check_part(where, panel.part, curves[panel.variable])
            found -= {"part"}
        profile = panel.kind == "profile" and found > _OVER_STEPS and len(found) == 3
        if not profile and found not in _DIMENSIONS.get(panel.kind, ()):
            raise PlasticError(
                f"{where}: it has the dimensions {listing(found)}, which are not those of "
                f"kind '{panel.kind}'" + "; name one by part" * ("part" in found)
            )
