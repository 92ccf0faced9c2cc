"""What a figure is: networks that are trained, panels that are drawn, claims that are judged."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, JsonValue, PositiveInt, model_validator

from plastic_core.base.spec import Spec
from plastic_core.experiments.reproducing.measures import MEASURES


class ArmSpec(Spec):
    """One way of training, and how it is called in the figure.

    Attributes:
        label: its name.
        rule: the rule expression.
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
    """

    label: str
    rule: str
    thetas: dict[str, FiniteFloat]
    settings: dict[str, dict[str, JsonValue]] = Field({})
    transforms: tuple[str, ...] = ()
    options: dict[str, JsonValue] = Field({})
    batch_size: PositiveInt = 1
    batch_norm: bool = False
    grid: dict[str, str] = Field({})
    at_least: dict[str, FiniteFloat] = Field({})


class NetworkArms(Spec):
    """One network, by the options of the task, and the arms that are trained on it.

    Attributes:
        options: of the task.
        arms: those that are trained; in a file left out where `thetas_of` is given.
        thetas_of: the network whose arms and thetas these are, which no search chooses for this
            one; None where they are its own.
    """

    options: dict[str, JsonValue]
    arms: tuple[ArmSpec, ...]
    thetas_of: str | None = None


class PanelSpec(Spec):
    """One panel of a figure.

    Attributes:
        kind: "curves" (accuracies over training points), "course" (another number over them),
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


class ClaimSpec(Spec):
    """One statement of the paper, in our words, as a difference over seeds.

    Attributes:
        text: the statement.
        measure: by name, in `plastic_core.experiments.reproducing.measures`.
        network: of the first arm.
        against: network of the second arm, None for the same.
        arms: labels: the first less the second, paired by seed; or the first less `value`.
        direction: of the difference.
        step: training points seen; None for the last point.
        each_layer: judged for every layer, else over all of them together.
        layers: which ones; None for all.
        value: what a single arm is compared with.
        family: the statement that is judged in several networks, None for `text`.
    """

    text: str
    measure: Literal[tuple(MEASURES)]  # type: ignore[valid-type]
    network: str
    against: str | None = None
    arms: Annotated[tuple[str, ...], Field(min_length=1, max_length=2)]
    direction: Literal["above", "below"]
    step: PositiveInt | None = None
    each_layer: bool = False
    layers: tuple[PositiveInt, ...] | None = None
    value: FiniteFloat | None = None
    family: str | None = None

    @model_validator(mode="after")
    def _has_something_to_compare(self) -> Self:
        if (len(self.arms) == 1) == (self.value is None):
            raise ValueError("arms: give two of them, or one and a value")
        return self


class FigureSpec(Spec):
    """A figure of the paper.

    Attributes:
        name: such as "fig1b".
        title: of the whole figure.
        base: fields of the RunSpec that all its networks share.
        networks: those that its panels and claims need, by name.
        grid: axes on which thetas are searched, as ``--grid`` takes them, unless an arm has its
            own.
        search_seeds: networks of each point of a search; None for as many as are drawn.
        columns: of panels.
    """

    name: str
    title: str
    base: dict[str, JsonValue]
    networks: dict[str, NetworkArms]
    grid: dict[str, str]
    search_seeds: PositiveInt | None = None
    columns: PositiveInt = 2
    panels: tuple[PanelSpec, ...]
    claims: tuple[ClaimSpec, ...]
