r"""The recurrent network as a circuit, unrolled over its steps.

    d = W_x x                   u_{t+1} = W_h y_t
    z_1 = d                     z_{t+1} = u_{t+1} + d       (d only while the input is shown)
    y_t = sigma(z_t)            output: the loss's output function of W_o y_T

The events of W_x are the steps that show the input (pre x, post d, error e_t), those of W_h the
steps 1 .. T-1 (pre y_t, source z_t, post u_{t+1}, error e_{t+1}), and W_o has one.
"""

from __future__ import annotations

from plastic_core.api.circuit import Apply, Circuit, Events, Matrix, Node, Send
from plastic_core.api.initialisation import MatrixShape
from plastic_core.api.maps import Activate, Add, Constant, Normalise, Output
from plastic_core.api.network_spec import RecurrentSpec
from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.circuits.layers import Find

#: The projections W_x, W_h and W_o.
INPUT, HIDDEN, OUTPUT = range(3)
HIDDEN_BIAS, OUTPUT_BIAS = 3, 4

#: The series of z_t and of y_t.
STATE, ACTIVITY = "z", "y"


def recurrent_circuit(spec: RecurrentSpec, find: Find) -> Circuit:
    """Return the circuit of a recurrent network; steps count from 0."""
    activate, loss = Activate(find("activation", spec.activation)()), find("loss", spec.loss)()
    x, drive, one, output = Node("x"), Node("d"), Node("one"), Node("y_o")
    shown, steps = range(spec.present), range(spec.steps)
    show = Send(INPUT, x, drive)
    operations: list[Send | Apply] = [show]
    given = {show: _events(x, drive, [Node(STATE, t) for t in shown])}
    always: tuple[Node, ...] = ()
    if spec.bias:
        bias = Send(HIDDEN_BIAS, one, Node("b"))
        operations += [Apply(Constant(), (x,), one), bias]
        given[bias] = _events(one, bias.z, [Node(STATE, t) for t in steps])
        always = (bias.z,)
    for t in steps:
        z = Node(STATE, t)
        parts = (*((drive,) if t in shown else ()), *always)
        if t:
            before, sent = Node(ACTIVITY, t - 1), Node("u", t - 1)
            send = Send(HIDDEN, before, sent)
            given[send] = Events((before,), (Node(STATE, t - 1),), (sent,), (z,))
            operations.append(send)
            parts = (sent, *parts)
        operations.append(Apply(Add(), parts, z))
        if spec.layer_norm:
            z = Node("n", t)
            operations.append(Apply(Normalise(), (Node(STATE, t),), z))
        skips = spec.residual and t > 0
        y = Node("branch" if skips else ACTIVITY, t)
        operations.append(Apply(activate, (z,), y))
        if skips:
            operations.append(Apply(Add(), (y, Node(ACTIVITY, t - 1)), Node(ACTIVITY, t)))
    last = Node(ACTIVITY, spec.steps - 1)
    logits = Node("z_o")
    operations.append(Send(OUTPUT, last, logits))
    if spec.bias:
        operations += [
            Send(OUTPUT_BIAS, one, Node("b_o")),
            Apply(Add(), (logits, Node("b_o")), Node("biased_o")),
        ]
        logits = Node("biased_o")
    operations.append(Apply(Output(loss), (logits,), output))
    units = {
        **{"x": spec.inputs, "one": 1},
        **dict.fromkeys(("z_o", "b_o", "biased_o", "y_o"), spec.classes),
        **dict.fromkeys(("d", "b", "u", "n", "branch", STATE, ACTIVITY), spec.hidden),
    }
    return Circuit(
        operations=tuple(operations),
        units=units,
        grids={},
        populations=(x, last, output),
        names=("recurrent", "readout"),
        layer_names=("input", "recurrent", "readout"),
        given=given,
        matrices=matrices_over_time(spec, ("xavier", spec.init, "xavier"), find),
        biased=(2, 3) if spec.bias else (),
        gradient_only=frozenset({1, 3}),
        input_activation=activate,
        spec=spec,
    )


def matrices_over_time(
    spec: RecurrentSpec | SequenceSpec, inits: tuple[str, str, str], find: Find
) -> tuple[Matrix, ...]:
    """Return W_x, W_h and W_o, which begin by three initialisations, and the biases."""
    inputs, hidden, outputs = spec.sizes
    shapes = [(hidden, inputs), (hidden, hidden), (outputs, hidden)]
    shapes += [(hidden, 1), (outputs, 1)] if spec.bias else []
    return tuple(
        Matrix(
            MatrixShape(n_post, n_pre, n_pre, n_post),
            find("initialisation", init)(),
            spec.init_std,
        )
        for (n_post, n_pre), init in zip(shapes, (*inits, "zeros", "zeros"), strict=False)
    )


def _events(pre: Node, post: Node, errors: list[Node]) -> Events:
    """Return the events of what is sent once and takes effect at many steps."""
    count = len(errors)
    return Events((pre,) * count, (pre,) * count, (post,) * count, tuple(errors))
