"""The specification of meta-learning; it loads no torch."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from plastic_core.base.spec import LATER, Plain, Spec
from plastic_core.plan.run_spec import RunSpec

#: An optimiser beside those of torch.optim.
GAUSS_NEWTON: Final = "GaussNewton"

# What is learned from a teacher by, unless told otherwise: a penalty would shrink what is looked
# for, and few steps of squares lead there.
_WITH_A_TEACHER: Final = {"l1": 0.0, "optimizer": GAUSS_NEWTON}
_GAUSS_NEWTON: Final = {"learning_rate": 1.0, "episodes": 20}

# Before the names of the teacher's rules, in settings.
_TEACHER: Final = "teacher."


class MetaSpec(Spec):
    r"""Everything that decides a meta-learned rule. Repeating a spec repeats the numbers.

    .. math:: \theta \leftarrow \mathrm{project}\bigl(\theta - \eta\, \nabla_\theta
        (\mathcal{L}_\mathrm{query}(\theta) + \lambda \lVert \theta \rVert_1)\bigr)

    With a teacher, a network that learns from the same points and initial weights by its rule,
    :math:`\mathcal{L}` is the mean of :math:`(y - y^\mathrm{teacher})^2` over the units of all
    layers, at the query points, after the points of the episode. As a sum of squares it is followed
    by steps of Gauss and Newton (Nocedal, Wright 2006, Numerical Optimization, section 10.3):

    .. math:: \theta \leftarrow \mathrm{project}\bigl(\theta - \eta \operatorname*{arg\,min}_d
        \lVert y - y^\mathrm{teacher} - \tfrac{\partial y}{\partial \theta} d \rVert^2\bigr)

    of the shortest d where several do, each theta measured by what it changes.
    """

    rule: str = Field(
        "fa+hebbian-error+oja+weight-decay+b-update+b-decay",
        description="sum of rules whose thetas are learned; a coefficient is where one starts",
    )
    teacher: str = Field(
        "",
        description="rule expression; thetas are then learned so that activities become those of "
        "networks that learn by it, in place of the loss of the queries",
        json_schema_extra=LATER,
    )
    by_layer: bool = Field(
        False,
        description="learn a theta of its own for each layer",
        json_schema_extra=LATER,
    )
    task: str = Field("digits-fewshot", description="name of a few-shot task")
    options: Plain = Field({}, description="options of the task")
    settings: dict[str, Plain] = Field(
        {},
        description="initial theta, layers and parameters by rule; those of the teacher's rules "
        "as teacher.RULE, those of transforms for both",
    )
    transforms: tuple[str, ...] = Field(
        (),
        description="transforms of the summed update, in order",
        json_schema_extra=LATER,
    )
    plugins: tuple[str, ...] = Field((), description="files with unpackaged plugins")
    episodes: PositiveInt = Field(
        600, le=10**7, description="steps of the optimiser; 20 of Gauss and Newton, unless given"
    )
    seeds: PositiveInt = Field(1, le=10**5, description="independent meta-trainings, 0..N-1")
    first_seed: int = Field(0, ge=0, le=2**31, description="seed of the first of them")
    parallel: PositiveInt = Field(
        1, le=10**5, description="networks over which one step averages the gradient"
    )
    optimizer: str = Field(
        "Adam",
        description="an optimiser of torch.optim that steps each theta by itself, or GaussNewton, "
        "the default where there is a teacher",
    )
    learning_rate: Annotated[FiniteFloat, Field(gt=0)] = Field(
        1e-3, description="of the optimiser; 1 of GaussNewton unless given"
    )
    l1: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.1,
        description="lambda, the weight of the sum of |theta| in the meta-loss; 0 unless given "
        "where there is a teacher, whose thetas it would shrink",
    )
    clip: Annotated[FiniteFloat, Field(gt=0)] = Field(
        1e4, description="greatest norm of the gradient of one network"
    )
    dtype: Literal["float32", "float64"] = Field("float32", description="precision")
    backend: Literal["auto", "native", "eager"] = Field(
        "auto", description="how the steps are computed"
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_beside_a_teacher(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("teacher"):
            given = {**_WITH_A_TEACHER, **given}
            if given["optimizer"] == GAUSS_NEWTON:
                return {**_GAUSS_NEWTON, **given}
        return given

    @model_validator(mode="after")
    def _squares_alone(self) -> Self:
        if self.optimizer == GAUSS_NEWTON and not self.teacher:
            raise ValueError(
                f"optimizer = {GAUSS_NEWTON!r}: it minimises squares, the differences from a "
                "teacher, and there is none; give one, or an optimiser such as Adam"
            )
        for name, plain in (("l1", 0), ("clip", type(self).model_fields["clip"].default)):
            if self.optimizer == GAUSS_NEWTON and getattr(self, name) != plain:
                raise ValueError(
                    f"{name} = {getattr(self, name):g}: {GAUSS_NEWTON} minimises squares alone; "
                    "leave it out, or give an optimiser such as Adam"
                )
        return self

    def run_spec(self) -> RunSpec:
        """Return the spec of a run with the same rules and task."""
        own = self.settings
        if self.teacher:
            own = {name: one for name, one in own.items() if not name.startswith(_TEACHER)}
        return self._run_spec(self.rule, own)

    def teacher_spec(self) -> RunSpec:
        """Return the spec of a run with the teacher's rules and the same task."""
        shared = {name.rpartition(":")[2] for name in self.transforms}
        own = {name: one for name, one in self.settings.items() if name in shared}
        own |= {
            name.removeprefix(_TEACHER): one
            for name, one in self.settings.items()
            if name.startswith(_TEACHER)
        }
        return self._run_spec(self.teacher, own)

    def _run_spec(self, rule: str, settings: dict[str, Any]) -> RunSpec:
        shared = ("task", "options", "transforms", "plugins", "dtype")
        given = {name: getattr(self, name) for name in shared}
        return RunSpec(rule=rule, settings=settings, **given)
