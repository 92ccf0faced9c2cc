"""What a figure is: networks that are trained, panels that are drawn, claims that are judged."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, FiniteFloat, JsonValue, PositiveInt, model_validator

from plastic_core.base.errors import did_you_mean, listing
from plastic_core.base.spec import LATER, Spec

# Fields of a RunSpec that an arm has itself, or no figure: plugins are installed.
_OF_AN_ARM: Final = frozenset({"rule", "options", "transforms", "batch_size", "plugins"})

# Those in which the arms of a figure do not differ, or have elsewhere.
_OF_THE_FIGURE: Final = _OF_AN_ARM | {
    "settings",
    "seeds",
    "first_seed",
    "samples",
    "evaluations",
    "eval_samples",
    "eval_half",
    "backend",
}


class ArmSpec(Spec):
    """One way of training, and how it is called in the figure.

    Attributes:
        label: its name.
        rule: the rule expression; left out where all stages in `base` have rules of their own.
        thetas: what a search chooses: the theta of a rule, or a setting of a rule or transform
            (``NAME.SETTING``).
        settings: of its rules, which no search changes; by rule.
        transforms: of the summed increment, in order.
        options: of the task, beside those of the network.
        batch_size: points in one update.
        batch_norm: trained by autograd with batch normalisation; see
            `plastic_core.experiments.reproducing.peers`.
        grid: axes on which thetas are searched, where they are not those of the figure.
        at_least: least thetas that are shown, where a search chooses so little of a rule that
            nothing of it would be seen; the record says what it would have chosen.
        base: fields of its RunSpec in place of the figure's, such as another task or readout.
    """

    label: str
    rule: str = ""
    thetas: dict[str, FiniteFloat] = Field({})
    settings: dict[str, dict[str, JsonValue]] = Field({})
    transforms: tuple[str, ...] = ()
    options: dict[str, JsonValue] = Field({})
    batch_size: PositiveInt = 1
    batch_norm: bool = False
    grid: dict[str, str] = Field({})
    at_least: dict[str, FiniteFloat] = Field({})
    base: dict[str, JsonValue] = Field({}, json_schema_extra=LATER)

    @model_validator(mode="after")
    def _is_paired(self) -> Self:
        taken = sorted(_OF_THE_FIGURE & self.base.keys())
        if taken:
            raise ValueError(
                f"base: {listing(taken)} of one arm alone would not be paired with the others; "
                "write it in the base of the figure"
            )
        return self


class NetworkArms(Spec):
    """One network, by the options of the task, and the arms that are trained on it.

    Attributes:
        options: of the task.
        arms: those that are trained; in a file left out where `thetas_of` is given.
        thetas_of: the network whose arms and thetas these are, which no search chooses for this
            one; None where they are its own.
    """

    options: dict[str, JsonValue] = Field({})
    arms: tuple[ArmSpec, ...]
    thetas_of: str | None = None


class PanelSpec(Spec):
    """One panel of a figure.

    Attributes:
        kind: "curves" (scores over training points), "course" (another number over them),
            "layers" (a line for each layer over training points), "components" (over principal
            components), "images", "filters" (of the first layer, of the first network), "scan"
            (over an option of the task) or "profile" (over the dimension that the variable has
            beside seed and step).
        variable: of the curves, what is drawn.
        network: by name.
        arm: by label; None draws all.
        arms: those of the curves that are drawn, by label; None for all.
        about: what they are, for the title; of a scan, the label of its axis.
        points: of a scan, the place of each network.
        layers: which are drawn; None for all.
        rule: whose increment is drawn, where the variable has that dimension.
        part: of the data, likewise, as a stage names it.
    """

    kind: Literal[
        "curves", "layers", "components", "images", "filters", "scan", "course", "profile"
    ]
    variable: str
    network: str
    arm: str | None = None
    arms: tuple[str, ...] | None = None
    about: str | None = None
    points: dict[str, FiniteFloat] = Field({})
    layers: tuple[PositiveInt, ...] | None = None
    rule: str | None = None
    part: str | None = None


class ClaimSpec(Spec):
    """One statement, of the paper in our words, as a difference over seeds.

    Attributes:
        text: the statement.
        measure: a variable of the result, such as the score or what a probe measured; or a name
            in `plastic_core.experiments.reproducing.measures`.
        network: of the first arm.
        against: network of the second arm, None for the same.
        arms: labels: the first less the second, paired by seed; or the first less `value`.
        direction: of the difference.
        step: training points seen; None for the last point.
        each_layer: judged for every layer, else over all of them together.
        layers: which ones; None for all.
        value: what a single arm is compared with.
        part: of the data, where the measure has several, by its classes as a stage has them.
        family: the statement that is judged in several networks, None for `text`.
        published: what was published, such as "98.4% on MNIST"; shown beside what is measured.
        source: where it stands, such as "Journé et al. 2023, table 1".
    """

    text: str
    measure: str
    network: str
    against: str | None = None
    arms: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]
    direction: Literal["above", "below"]
    step: PositiveInt | None = None
    each_layer: bool = False
    layers: tuple[PositiveInt, ...] | None = None
    value: FiniteFloat | None = None
    part: str | None = None
    family: str | None = None
    published: str | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _has_something_to_compare(self) -> Self:
        if (len(self.arms) == 1) == (self.value is None):
            raise ValueError("arms: give two of them, or one and a value")
        return self


class FigureSpec(Spec):
    """A figure.

    Attributes:
        name: such as "fig1b", or "zoo/softhebb" of another package.
        title: of the whole figure.
        base: fields of the RunSpec that all its networks share.
        networks: those that its panels and claims need, by name.
        grid: axes on which thetas are searched, as ``--grid`` takes them, unless an arm has its
            own.
        search_seeds: networks of each point of a search; None for as many as are drawn.
        columns: of panels.
        panels: what is drawn; none for the score of each network over training points.
        claims: what is judged.
    """

    name: str
    title: str
    base: dict[str, JsonValue]
    networks: dict[str, NetworkArms]
    grid: dict[str, str] = Field({})
    search_seeds: PositiveInt | None = None
    columns: PositiveInt = 2
    panels: tuple[PanelSpec, ...] = ()
    claims: tuple[ClaimSpec, ...]

    @model_validator(mode="after")
    def _names_what_it_has(self) -> Self:
        taken = sorted(_OF_AN_ARM & self.base.keys())
        if taken:
            raise ValueError(
                f"base: {listing(taken)} cannot stand here: rule, options, transforms and "
                "batch_size are of the arms, and plugins are installed"
            )
        settings = self.base.get("settings", {})
        if not isinstance(settings, dict) or not all(
            isinstance(s, dict) for s in settings.values()
        ):
            raise ValueError("base: settings are tables by rule or probe, such as settings.oja")
        labels = {name: [arm.label for arm in one.arms] for name, one in self.networks.items()}
        if not labels or not all(labels.values()):
            raise ValueError("networks: give at least one, each with at least one arm")
        for name, own in labels.items():
            if len({*own}) < len(own):
                raise ValueError(f"networks.{name}: two arms have the same label: {listing(own)}")
            if (other := self.networks[name].thetas_of) is not None:
                _check_arm(f"networks.{name}.thetas_of", other, None, labels)
        for i, claim in enumerate(self.claims):
            first, *second = claim.arms
            _check_arm(f"claims.{i}", claim.network, first, labels)
            for other in second:
                _check_arm(f"claims.{i}", claim.against or claim.network, other, labels)
        for i, panel in enumerate(self.panels):
            for network in (panel.network, *panel.points):
                _check_arm(f"panels.{i}", network, None, labels)
            for arm in (*(panel.arms or ()), panel.arm):
                _check_arm(f"panels.{i}", panel.network, arm, labels)
        return self


def _check_arm(place: str, network: str, arm: str | None, labels: dict[str, list[str]]) -> None:
    """Refuse a network, or an arm of it, that the figure does not have."""
    if network not in labels:
        raise ValueError(
            f"{place}: there is no network '{network}'{did_you_mean(network, labels) or '.'} "
            f"The networks are {listing(labels)}"
        )
    if arm is not None and arm not in labels[network]:
        raise ValueError(
            f"{place}: network '{network}' has no arm '{arm}'"
            f"{did_you_mean(arm, labels[network]) or '.'} Its arms are {listing(labels[network])}"
        )
