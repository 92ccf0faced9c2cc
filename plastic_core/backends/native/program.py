"""What the native backend makes C of: expressions over the vectors of a projection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from plastic_core.api.signals import BACK, MATRIX_SIGNALS, SIGNALS
from plastic_core.backends.native.operations import KEPT_PRODUCTS, PRODUCTS, REDUCTIONS


class Needs(NamedTuple):
    """What comes back through a projection because somebody reads it.

    Attributes:
        weight_error: W' error.
        recon: W' post.
        feedback_error: B error.
    """

    weight_error: bool
    recon: bool
    feedback_error: bool


class NotNativeError(Exception):
    """The reason why the native backend cannot take a run."""


@dataclass(frozen=True, eq=False)
class Value:
    """One intermediate result; equal ones are the same object.

    Attributes:
        operation: "signal", "state", "noise", "matrix_state", "number", "theta", "batch", "events"
            (their number), "units", or a key of `operations.ELEMENTWISE`, `operations.REDUCTIONS`
            or `operations.PRODUCTS`, or of `operations.KEPT_PRODUCTS`. In what varies over the
            elements of a matrix also "weight", "weight_noise", "own_matrix", a state over another
            matrix than W, "eye", "outer", of two vectors and summed over the events, "rows", a
            vector along the rows, and "along", one along the columns or a number.
            Where C is to differentiate, also "tangent", of a signal, and "chosen", 1 where the
            direction is that of a theta.
        arguments: values, and for leaves what names them; for a signal of a pass behind the first
            its name, its units and the pass.
        events: whether it differs between the events of a mini-batch.
        units: "pre", "post" or "out", the population that it varies over, or None; of a matrix the
            populations of its rows and of its columns, such as "post*pre", and "post*" where it
            varies over the rows alone.
        level: how many reductions and products lie below it.
    """

    operation: str
    arguments: tuple[Any, ...]
    events: bool
    units: str | None
    level: int


@dataclass
class RankOne:
    """An increment row column', summed over the events; the thetas are in `column`."""

    row: Value
    column: Value


@dataclass
class MatrixUpdate:
    """All that changes one matrix, which lies with the presynaptic population along columns.

    Attributes:
        products: the outer products, one for each different row factor.
        row_decay: the fraction of each row that decays, or None.
        column_decay: the same for columns.
        dense: what is added element by element, over `WEIGHT`, or None.
        sent_back: outer products whose column is W' v; `column` is v, over "post".
    """

    products: list[RankOne]
    row_decay: Value | None = None
    column_decay: Value | None = None
    dense: Value | None = None
    sent_back: list[RankOne] = field(default_factory=list)

    @property
    def uniform_decay(self) -> bool:
        """Whether all weights decay by the same fraction, which only the thetas decide."""
        rows = self.row_decay
        return rows is not None and self.column_decay is None and rows.units is None


@dataclass
class Kind:
    """What happens at projections that are alike.

    Attributes:
        needs: what must come back.
        weight, feedback: the updates; None where nothing changes.
        propagate: the error of what was sent, or None where it does not go on.
        states: (slot, new value).
        state_units: for each slot the population that the state belongs to, None for a number.
        forward: z, where a rule computes it, or None for W pre.
        transform: what becomes of the increment of W, or None where it is added as it is.
        matrices: (slot, new value) of states over other matrices, "own_matrix" values.
    """

    needs: Needs
    weight: MatrixUpdate | None
    feedback: MatrixUpdate | None
    propagate: Value | None
    states: list[tuple[int, Value]]
    state_units: dict[int, str | None]
    forward: Value | None = None
    transform: MatrixTransform | None = None
    matrices: list[tuple[int, Value]] = field(default_factory=list)


@dataclass
class MatrixTransform:
    """What transforms, and rules element by element, make of an increment, W and its states.

    Attributes:
        increment: what is added to W.
        states: (slot, units, new value) of states over units, "state" values.
        matrix_states: (slot, new value) of states over W, "matrix_state" values.
    """

    increment: Value
    states: list[tuple[int, str, Value]]
    matrix_states: list[tuple[int, Value]]


@dataclass
class LossProgram:
    """What a loss computes, over the units of the output.

    Attributes:
        output: y_L, of the signal "z"; its operation may be "softmax".
        error: dL/dz_L, of the signals "output" and "target".
    """

    output: Value
    error: Value


@dataclass
class Program:
    """Everything that the generated source depends on, and what is handed over beside it.

    Attributes:
        kinds: the different kinds of projections.
        kind_of: which one each projection is, in each pass.
        thetas: names of the rules, in the order of `Value`s "theta".
        constants: numbers of the rules, kept out of the source.
        states: for each slot the key of the state at each projection, or None.
        feedback_output: whether the feedback matrices come from the output layer.
        uniform_decays: rule and scale of the decays that are the same for all weights.
        matrix_states: for each slot the key of the state at each projection, or None.
        loss: what happens at the output.
        noises: for each projection the names of its noise, as numbers.
        ahead: the projection that sends the input, whose inputs are known ahead, or None.
        passes: how often something is shown in an update.
        own_matrices: the same as `matrix_states`, of states over other matrices.
        own_units: of each of these slots.
    """

    kinds: list[Kind]
    kind_of: list[int]
    thetas: list[str]
    constants: list[float]
    states: list[list[str | None]]
    feedback_output: bool
    uniform_decays: list[tuple[str, float]]
    matrix_states: list[list[str | None]]
    loss: LossProgram
    noises: list[list[int]]
    ahead: int | None
    passes: int
    own_matrices: list[list[str | None]]
    own_units: list[str]

    @property
    def transformed(self) -> bool:
        """Whether some increments are transformed, so that none waits."""
        return any(kind.transform is not None for kind in self.kinds)


#: Populations of the signals.
_UNITS: Final[dict[str, str]] = {
    # `pre_error` is known only where an error was propagated, `loss` is made of others
    n: one.over
    for n, one in SIGNALS.items()
    if n not in {*MATRIX_SIGNALS, "pre_error", "loss"}
}


#: What is said of sums and the like over the elements of a matrix.
ONE_AT_A_TIME: Final = (
    "it looks at more than one element of a matrix at a time; write it with functions of single "
    "elements"
)

_DIFFERENT: Final = (
    "it combines populations of different sizes; write a sum or mean over one of them"
)

#: Units of what varies over the elements of W.
WEIGHT: Final = "post*pre"


def is_matrix(units: str | None) -> bool:
    """Return whether units are those of a matrix, or of its rows."""
    return units is not None and "*" in units


class Values:
    """Makes values, the same object for the same operation on the same arguments.

    Attributes:
        constants: the numbers among them.
        known: values that stand for a signal at the present projection.
        later: the same for the signals of each pass behind the first.
        out: what the units of the output are called at the present projection.
    """

    def __init__(self) -> None:
        self.constants: list[float] = []
        self.known: dict[str, Value] = {}
        self.later: list[dict[str, Value]] = []
        self.out = "out"
        self._made: dict[tuple[Any, ...], Value] = {}

    def make(self, operation: str, *arguments: Any) -> Value:
        """Return the value of an operation, the same object for the same arguments."""
        if operation in REDUCTIONS:
            if is_matrix(arguments[0].units):
                raise NotNativeError(ONE_AT_A_TIME)
            vanishing = REDUCTIONS[operation].over
            if not (arguments[0].events and "events" in vanishing) and not (
                arguments[0].units and "units" in vanishing
            ):
                only: Value = arguments[0]
                return only
        key = (operation, *(id(a) if isinstance(a, Value) else a for a in arguments))
        if key not in self._made:
            self._made[key] = self._new(operation, arguments)
        return self._made[key]

    def _new(self, operation: str, arguments: tuple[Any, ...]) -> Value:
        values = [a for a in arguments if isinstance(a, Value)]
        units = {v.units for v in values if v.units is not None}
        if operation in ("weight", "weight_noise", "matrix_state"):
            return Value(operation, arguments, False, WEIGHT, 0)
        if operation == "own_matrix":
            return Value(operation, arguments, False, arguments[1], 0)
        if operation == "eye":
            return Value(operation, arguments, False, f"{arguments[0]}*{arguments[0]}", 0)
        if operation in ("outer", "rows"):
            row, column = (*(v.units for v in values), "")[:2]
            return Value(operation, arguments, False, f"{row}*{column}", 0)
        if any(map(is_matrix, units)) and operation != "along":
            return self._over_a_matrix(operation, arguments, units)
        if len(units) > 1:
            raise NotNativeError(_DIFFERENT)
        events = any(v.events for v in values)
        over: str | None = next(iter(units), None)
        level = max((v.level for v in values), default=0)
        if operation == "signal":
            if arguments[0] not in _UNITS:
                raise NotNativeError(f"it reads '{arguments[0]}' before it is known")
            events, over = True, arguments[1] if len(arguments) > 1 else _UNITS[arguments[0]]
        elif operation == "tangent":
            events, over = True, arguments[1]
        elif operation in ("state", "noise"):
            events, over = operation == "noise", arguments[1]
        elif operation in PRODUCTS:
            level += 1
            over = PRODUCTS[operation]
        elif operation in KEPT_PRODUCTS:
            level += 1
            over = arguments[-1]
        elif operation in REDUCTIONS:
            level += 1
            along = REDUCTIONS[operation].over
            events, over = events and "events" not in along, None if "units" in along else over
        return Value(operation, arguments, events, over, level)

    def _over_a_matrix(self, operation: str, arguments: tuple[Any, ...], units: set[str]) -> Value:
        """Return what varies over the elements of a matrix, or over its rows."""

        def inside(one: Any) -> Any:
            if not isinstance(one, Value) or is_matrix(one.units) or one.operation == "number":
                return one
            return self.make("along", one)

        rows = {row for row, star, _ in (one.partition("*") for one in units) if star}
        columns = {one.rpartition("*")[2] for one in units} - {""}
        if len(rows) > 1 or len(columns) > 1:
            raise NotNativeError(_DIFFERENT)
        over = f"{rows.pop()}*{''.join(columns)}"
        return Value(operation, tuple(map(inside, arguments)), False, over, 0)

    def number(self, value: float) -> Value:
        """Return a constant."""
        written = float(value).hex()  # which tells 0 from -0, and finds a NaN again
        known = [constant.hex() for constant in self.constants]
        if written not in known:
            self.constants.append(float(value))
        return self.make("number", [*known, written].index(written))

    def softmax(self, of: Any) -> Value:
        """Return what softmax gives over the units."""
        z = self.value(of)
        above = self.make("exp", self.make("sub", z, self.make("amax_units", z)))
        return self.make("truediv", above, self.make("sum_units", above))

    def product(self, name: str, *vectors: Any) -> Value:
        """Return the product of a matrix with a vector, as a signal where it is one.

        Args:
            name: "forward", "back" or "feed_back".
            vectors: the one vector.
        """
        (vector,) = map(self.value, vectors)
        for of, signal in BACK.items():
            if name == "back" and vector is self.signal(of):
                return self.signal(signal)
        return self.make(name, vector)

    def times(self, vector: Value, matrix: Value, transposed: bool = False) -> Value:
        """Return the product of a state over a matrix with a vector, M v or M' v."""
        rows, columns = str(matrix.units).split("*")
        kind, slot, _ = (matrix.operation, *matrix.arguments, None)[:3]
        if transposed:
            return self.make("times_back", vector, kind, slot, columns)
        return self.make("times", vector, kind, slot, rows)

    def signal(self, name: str, pass_index: int = 0) -> Value:
        """Return a signal."""
        known = self.later[pass_index - 1] if pass_index else self.known
        if name in known:
            return known[name]
        if pass_index:
            return self.make("signal", name, _UNITS.get(name), pass_index)
        return self.make("signal", name)

    def value(self, value: Any) -> Value:
        """Return `value`, or a constant where it is a number."""
        if isinstance(value, bool | int | float):
            return self.number(value)
        if not isinstance(value, Value):
            raise NotNativeError(f"it computes with a value of type {type(value).__name__}")
        return value
