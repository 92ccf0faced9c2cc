"""The specifications, checked by pydantic: rules, transforms, tasks and runs.

This module loads no torch, so that plugins can be listed and runs checked at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    FiniteFloat,
    model_validator,
)

from plastic_core.api.network_spec import NetworkKind
from plastic_core.api.signals import ERROR_SIGNALS, SignalName
from plastic_core.base.spec import Spec

if TYPE_CHECKING:
    from plastic_core.api.circuit import Circuit

#: Major version of the contract between the core and its plugins.
API_VERSION: Final = 1

#: A plugin's public name; also what an expression accepts.
NAME_PATTERN: Final = r"[A-Za-z][A-Za-z0-9_-]*"

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
Text = Annotated[str, Field(min_length=1)]
Matrix = Literal["forward", "feedback"]
VariableName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
StateName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
When = Literal["every", "last"]

#: Variables and dimensions of every result, which no measure of a probe can be called.
RESERVED_VARIABLES: Final = frozenset(
    {"accuracy", "loss", "diverged_at", "theta", "seed", "step", "layer", "rule", "theta_of"}
)


def _set_of_names(value: Any) -> Any:
    """Accept one name in place of a set of one name."""
    return {value} if isinstance(value, str) else value


class Theta(Spec):
    """The coefficient of a rule: its default and its bounds, both included.

    Attributes:
        default: the value used where neither the user nor the task gives one.
        min: the least value, None for no bound.
        max: the greatest value, None for no bound.
    """

    default: FiniteFloat
    min: FiniteFloat | None = 0.0
    max: FiniteFloat | None = None

    @model_validator(mode="after")
    def _default_within_bounds(self) -> Self:
        if not self.contains(self.default):
            raise ValueError(f"default = {self.default:g} is outside the bounds: {self.accepted}")
        return self

    def contains(self, value: float) -> bool:
        """Return whether `value` is finite and within the bounds."""
        low, high = self.bounds
        return low <= value <= high and abs(value) != float("inf")

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value, infinite where there is no bound."""
        low = -float("inf") if self.min is None else self.min
        return low, float("inf") if self.max is None else self.max

    @property
    def accepted(self) -> str:
        """What is accepted, in words."""
        if self.min is not None and self.max is not None:
            return f"a number from {self.min:g} to {self.max:g}"
        if self.min is not None:
            return f"a finite number of at least {self.min:g}"
        if self.max is not None:
            return f"a finite number of at most {self.max:g}"
        return "a finite number"


class Sizes(NamedTuple):
    """Units of a projection's populations, of the output, and of what B is sent from."""

    post: int
    pre: int
    out: int
    fed: int


class State(Spec):
    r"""A state that a rule carries from step to step, for each projection and replica.

    Attributes:
        over: "post" and "pre" give ``[R, 1, n]``, a row that broadcasts against the signals of
            that population, the same at all places; "one" gives ``[R, 1, 1]``. Matrices are
            "weight", ``[R, n_post, n_pre]``, "feedback", as large as B, "post*post",
            ``[R, n_post, n_post]``, and "post*output", ``[R, n_post, n_L]``.
        initial: the value at the start: a number, "normal" for standard normal numbers, "xavier"
            for those that a matrix of its size is initialised with, uniform up to
            :math:`\sqrt{6 / (n + m)}`, or "weight" for a copy of W. Drawn over "post", "post*post"
            or "post*output" it is the same in all projections into one population.
    """

    over: Literal["post", "pre", "one", "weight", "feedback", "post*post", "post*output"]
    initial: FiniteFloat | Literal["normal", "xavier", "weight"] = 0.0

    @model_validator(mode="after")
    def _initial_fits(self) -> Self:
        if self.initial == "weight" and self.over != "weight":
            raise ValueError(f"initial = 'weight' is a copy of W; over = '{self.over}' is not")
        if self.initial == "xavier" and self.over in ("post", "pre", "one"):
            raise ValueError(f"initial = 'xavier' is for matrices; over = '{self.over}' is none")
        return self

    @property
    def is_matrix(self) -> bool:
        """Whether it has two dimensions."""
        return self.over not in ("post", "pre", "one")

    def shape(self, sizes: Sizes) -> tuple[int, int]:
        """Return its shape in one replica."""
        post, pre, out, fed = sizes
        shapes = {
            "post": (1, post),
            "pre": (1, pre),
            "one": (1, 1),
            "weight": (post, pre),
            "feedback": (pre, fed),
            "post*post": (post, post),
            "post*output": (post, out),
        }
        return shapes[self.over]


class Settle(Spec):
    """How a network settles before it learns.

    Attributes:
        steps: of each phase, all populations at once.
        phases: by name, in order; the first is what the network answers by, and begins where the
            forward pass ends, each later one where the one before it ended. An update reads the
            signals `pre`, `post` and `z` of each, such as ``s.free.post``.
    """

    steps: Annotated[int, Field(ge=1, le=10_000)] = 20
    phases: Annotated[tuple[VariableName, ...], Field(min_length=1)] = ("free", "nudged")


class RuleSpec(Spec):
    """What a plasticity rule is and what it needs.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        equation: the update in LaTeX, without theta.
        reference: its source.
        modifies: "forward" (every weight that carries activity), "feedback", or a set of both;
            a rule that modifies both returns ``{"forward": update, "feedback": update}``.
        reads: the signals it uses, in any of its hooks.
        theta: default and bounds of its coefficient; or several by name, ``{"a": Theta(...)}``, by
            which it multiplies itself: ``s.theta.a``, ``[R, 1, 1]``.
        params: a pydantic model class of further parameters, all with defaults; ``--set
            NAME.FIELD=VALUE`` sets them, ``self.params`` holds them.
        state: its states, by name.
        noise: the noise that it reads, `s.noise.NAME`: standard normal numbers, as large as the
            signals "post" or "pre", or "weight", ``[R, n_post, n_pre]``. In an update it is the
            same in all hooks, on every backend, alone and among others; 0 in evaluation.
        passes: how often the network is shown something in each update, all from one snapshot of
            the weights; `s.passes` holds the signals of each pass, and plain signals are those of
            the first. What the others show, `plastic_input` says.
        settle: how the network settles in each update, and where it is evaluated (implements
            `plastic_settle`); in dense feed-forward networks without biases, normalisation and
            residual connections, and without an error pass.
        propagates: whether it propagates the error (implements `plastic_propagate_error`).
        feedback: None, "layer" (a B for each layer) or "output" (a B from the output to each
            layer): what the engine allocates for it.
        gated: whether the engine multiplies the error that it propagates by sigma'. If not, `error`
            of a hidden layer is what the hook above it returned; that of the output is dL/dz.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    equation: Text
    reference: Text
    modifies: Annotated[frozenset[Matrix], BeforeValidator(_set_of_names), Field(min_length=1)]
    reads: Annotated[frozenset[SignalName], BeforeValidator(_set_of_names)]
    theta: Theta | Annotated[dict[VariableName, Theta], Field(min_length=1)]
    params: type[BaseModel] | None = None
    state: dict[StateName, State] = Field({})
    noise: Annotated[
        frozenset[Literal["post", "pre", "weight"]], BeforeValidator(_set_of_names)
    ] = frozenset()
    passes: Annotated[int, Field(ge=1, le=16)] = 1
    settle: Settle | None = None
    propagates: bool = False
    feedback: Literal["layer", "output"] | None = None
    gated: bool = True
    api: int = API_VERSION

    @model_validator(mode="after")
    def _feedback_is_allocated(self) -> Self:
        uses = sorted({"feedback", "feedback_error"} & self.reads)
        if self.feedback is None and uses:
            raise ValueError(
                f"reads {', '.join(uses)} but feedback is None; write 'layer' or 'output'"
            )
        if self.feedback is None and "feedback" in self.modifies:
            raise ValueError("modifies 'feedback' but feedback is None; write 'layer' or 'output'")
        fed = sorted(name for name, one in self.state.items() if one.over == "feedback")
        if self.feedback is None and fed:
            raise ValueError(
                f"the state '{fed[0]}' is over 'feedback' but feedback is None; write 'layer' or "
                "'output'"
            )
        return self

    @model_validator(mode="after")
    def _parameters_keep_off_reserved_names(self) -> Self:
        taken = sorted({"theta", "layers"} & set(self.params.model_fields if self.params else ()))
        if taken:
            raise ValueError(
                f"params: the names theta and layers belong to the engine; rename {taken}"
            )
        return self

    @property
    def thetas(self) -> dict[str, Theta]:
        """The thetas by which it multiplies itself; none where the engine multiplies."""
        return self.theta if isinstance(self.theta, dict) else {}

    def theta_of(self, name: str = "") -> Theta:
        """Return one of its thetas, by name where it has several.

        Raises:
            KeyError: it has several, and none of this name.
        """
        return self.theta[name] if isinstance(self.theta, dict) else self.theta

    @property
    def default_thetas(self) -> str:
        """Its default, or its defaults by name, as text."""
        named = ", ".join(f"{name} {one.default:g}" for name, one in self.thetas.items())
        return named or f"{self.theta_of().default:g}"

    @property
    def accepted_thetas(self) -> str:
        """Default and what is accepted, of each theta, as text."""
        every = self.thetas or {"": self.theta_of()}
        texts = {n: f"default {one.default:g}; {one.accepted}" for n, one in every.items()}
        return "; ".join(f"{name}: {text}" if name else text for name, text in texts.items())

    @property
    def reads_error(self) -> bool:
        """Whether the rule needs an error pass; B e_L comes from the outputs without one."""
        without = {"feedback_error"} if self.feedback == "output" else set[str]()
        return bool((ERROR_SIGNALS & self.reads) - without)


class TransformSpec(Spec):
    """What a transform of the summed increment is; the fields are those of `RuleSpec`."""

    name: Name
    summary: Text
    reference: Text
    params: type[BaseModel] | None = None
    state: dict[StateName, State] = Field({})
    api: int = API_VERSION

    @model_validator(mode="after")
    def _parameters_keep_off_reserved_names(self) -> Self:
        if "layers" in (self.params.model_fields if self.params else ()):
            raise ValueError("params: the name layers belongs to the engine; rename it")
        return self

    @model_validator(mode="after")
    def _states_are_those_of_a_matrix(self) -> Self:
        for name, state in self.state.items():
            if state.over not in ("post", "pre", "one", "weight"):
                raise ValueError(
                    f"the state '{name}' is over '{state.over}'; a transform has states over its "
                    "rows ('post'), its columns ('pre'), the matrix ('weight') or 'one'"
                )
        return self


class Measure(Spec):
    """One quantity that a probe measures, a variable of the result.

    Attributes:
        long_name: what it is, as an axis is labelled.
        units: "1" where it has none.
        dims: its dimensions beside seed and step. "layer" counts the weight matrices, "rule" the
            rules of the expression; any other has the size that the probe gives it.
    """

    long_name: Text
    units: Text = "1"
    dims: tuple[VariableName, ...] = ("layer",)

    @model_validator(mode="after")
    def _dimensions_are_its_own(self) -> Self:
        if {"seed", "step"} & set(self.dims) or len(set(self.dims)) < len(self.dims):
            raise ValueError(
                f"dims = {self.dims}: expected different names, without seed and step, which the "
                "core adds"
            )
        return self


class ProbeSpec(Spec):
    """What a probe measures.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        equation: what is measured, in LaTeX.
        reference: its source.
        measures: the quantities, by the name of their variable in the result.
        when: "every" evaluation point or the "last" one; ``--set NAME.when=every`` changes it.
        networks: the kinds of network that it measures, a set of "feedforward", "layered" and
            "recurrent".
        params: a pydantic model class of parameters, all with defaults; ``--set
            NAME.FIELD=VALUE`` sets them, ``self.params`` holds them.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    equation: Text
    reference: Text
    measures: Annotated[dict[VariableName, Measure], Field(min_length=1)]
    when: When = "every"
    networks: Annotated[frozenset[NetworkKind], Field(min_length=1)] = frozenset({"feedforward"})
    params: type[BaseModel] | None = None
    api: int = API_VERSION

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        taken = sorted(RESERVED_VARIABLES & self.measures.keys())
        if taken:
            raise ValueError(f"measures: the names {taken} belong to the core; rename them")
        if self.params and "when" in self.params.model_fields:
            raise ValueError("params: the name when belongs to the core; rename it")
        return self


class Recommended(Spec):
    """Thetas that a task recommends for one set of rules, on one kind of network.

    Attributes:
        thetas: the theta of each rule of the set; it applies to exactly this set.
        depth: number of weight matrices, None for any.
        init: initialisation, None for any.
        hidden: sizes of the hidden layers, None for any.
    """

    thetas: dict[str, FiniteFloat]
    depth: int | None = None
    init: str | None = None
    hidden: tuple[int, ...] | None = None

    def applies(self, rules: frozenset[str], circuit: Circuit) -> bool:
        """Return whether these thetas are meant for `rules` on a network."""
        return (
            rules == self.thetas.keys()
            and self.depth in (None, circuit.depth)
            and self.init in (None, circuit.spec.init)
            and self.hidden in (None, circuit.sizes[1:-1])
        )


class TaskSpec(Spec):
    """What a task is.

    Attributes:
        name: public name, the same as its entry point's.
        summary: one line.
        options: a pydantic model class, all fields with defaults; they become flags.
        recommended: thetas by set of rules and network; the first that applies is used.
        data: source and licence of each data set that it reads.
        api: major version of the contract that it was written against.
    """

    name: Name
    summary: Text
    options: type[BaseModel]
    recommended: tuple[Recommended, ...] = ()
    data: tuple[Text, ...] = ()
    api: int = API_VERSION
