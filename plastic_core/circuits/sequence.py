r"""The network that answers at each step as a circuit, unrolled over its steps.

z_t = W_x x_t + W_h y_{t-1} [+ b],   y_t = (1 - leak) y_{t-1} + leak sigma(z_t)
output: the loss's output function of W_o y_t [+ b_o], at all steps side by side
"""

from __future__ import annotations

from plastic_core.api.circuit import Apply, Circuit, Events, Node, Send
from plastic_core.api.maps import Activate, Add, Constant, Output
from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.api.step_maps import AtPlace, AtStep, Follow, Join
from plastic_core.circuits.layers import Find
from plastic_core.circuits.recurrent import (
    HIDDEN,
    HIDDEN_BIAS,
    INPUT,
    OUTPUT,
    OUTPUT_BIAS,
    matrices_over_time,
)


def sequence_circuit(spec: SequenceSpec, find: Find) -> Circuit:
    """Return the circuit of a network that answers at each step; steps count from 0."""
    activate, loss = Activate(find("activation", spec.activation)()), find("loss", spec.loss)()
    given: dict[Send, Events] = {}
    operations: list[Send | Apply] = []
    x, one, joined, output = Node("sequence"), Node("one"), Node("z_o"), Node("y_o")
    steps, follow = range(spec.steps), Follow(spec.leak)

    def send(projection: int, pre: Node, z: Node, post: list[Node], error: list[Node]) -> Node:
        sent, count = Send(projection, pre, z), len(error)
        given[sent] = Events((pre,) * count, (pre,) * count, tuple(post), tuple(error))
        operations.append(sent)
        return z

    def apply(*made: Apply) -> None:
        operations.extend(made)

    shown, z, active, y, logits, answer = (
        [Node(series, t) for t in steps] for series in ("x", "z", "active", "y", "logits", "answer")
    )
    apply(*(Apply(AtStep(t, spec.inputs), (x,), shown[t]) for t in steps))
    always: list[Node] = []
    if spec.bias:
        apply(Apply(Constant(), (x,), one))
        always = [send(HIDDEN_BIAS, one, Node("b"), y, z)]
    for t in steps:
        parts = [send(INPUT, shown[t], Node("d", t), [y[t]], [z[t]]), *always]
        if t:
            parts.insert(0, send(HIDDEN, y[t - 1], Node("u", t), [y[t]], [z[t]]))
        apply(Apply(Add(), tuple(parts), z[t]))
        if spec.leak == 1:
            apply(Apply(activate, (z[t],), y[t]))
            continue
        before = (y[t - 1],) if t else ()
        apply(Apply(activate, (z[t],), active[t]), Apply(follow, (active[t], *before), y[t]))
    parts = [Node("b_o")] if spec.bias else []
    if spec.bias:
        send(OUTPUT_BIAS, one, parts[0], answer, logits)
    for t in steps:
        sent = Node("o", t)
        send(OUTPUT, y[t], sent, [answer[t]], [logits[t]])
        apply(Apply(Add(), (sent, *parts), logits[t]))
    apply(Apply(Join(), tuple(logits), joined), Apply(Output(loss), (joined,), output))
    apply(*(Apply(AtPlace(t, spec.steps), (output,), answer[t]) for t in steps))
    return Circuit(
        operations=tuple(operations),
        units={
            **{"sequence": spec.steps * spec.inputs, "x": spec.inputs, "one": 1},
            **dict.fromkeys(("d", "u", "b", "z", "active", "y"), spec.hidden),
            **dict.fromkeys(("o", "b_o", "logits", "answer", "z_o", "y_o"), spec.outputs),
        },
        grids=dict.fromkeys(("z_o", "y_o"), (spec.steps,)),
        populations=(x, y[-1], output),
        names=("recurrent", "readout"),
        layer_names=("input", "recurrent", "readout"),
        given=given,
        matrices=matrices_over_time(spec, (spec.init,) * 3, find),
        biased=(2, 3) if spec.bias else (),
        gradient_only=frozenset(),
        input_activation=activate,
        spec=spec,
    )
