r"""The recurrent network as a circuit, unrolled over its steps.

    d = W_x x                   u_{t+1} = W_h y_t
    z_1 = d                     z_{t+1} = u_{t+1} + d       (d only while the input is shown)
    y_t = sigma(z_t)            output: the loss's output function of W_o y_T

The events of W_x are the steps that show the input (pre x, post d, error e_t), those of W_h the
steps 1 .. T-1 (pre y_t, source z_t, post u_{t+1}, error e_{t+1}), and W_o has one.
"""

from __future__ import annotations

from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import RecurrentSpec
from plastic_core.networks.activations import ACTIVATIONS
from plastic_core.networks.circuit import Apply, Circuit, Events, Node, Send
from plastic_core.networks.maps import Activate, Add, Output

#: The projections W_x, W_h and W_o.
INPUT, HIDDEN, OUTPUT = range(3)

#: The series of z_t and of y_t.
STATE, ACTIVITY = "z", "y"


def recurrent_circuit(spec: RecurrentSpec, loss: Loss) -> Circuit:
    """Return the circuit of a recurrent network; steps count from 0."""
    activate = Activate(ACTIVATIONS[spec.activation])
    x, drive, logits, output = Node("x"), Node("d"), Node("z_o"), Node("y_o")
    show = Send(INPUT, x, drive)
    operations: list[Send | Apply] = [show]
    shown = range(spec.present)
    given = {
        show: Events(
            (x,) * spec.present,
            (x,) * spec.present,
            (drive,) * spec.present,
            tuple(Node(STATE, t) for t in shown),
        )
    }
    for t in range(spec.steps):
        z, y = Node(STATE, t), Node(ACTIVITY, t)
        parts = (drive,) if t in shown else ()
        if t:
            before, sent = Node(ACTIVITY, t - 1), Node("u", t - 1)
            send = Send(HIDDEN, before, sent)
            given[send] = Events((before,), (Node(STATE, t - 1),), (sent,), (z,))
            operations.append(send)
            parts = (sent, *parts)
        operations += [Apply(Add(), parts, z), Apply(activate, (z,), y)]
    operations += [
        Send(OUTPUT, Node(ACTIVITY, spec.steps - 1), logits),
        Apply(Output(loss), (logits,), output),
    ]
    units = {
        **{"x": spec.inputs, "z_o": spec.classes, "y_o": spec.classes},
        **dict.fromkeys(("d", "u", STATE, ACTIVITY), spec.hidden),
    }
    populations = (x, Node(ACTIVITY, spec.steps - 1), output)
    return Circuit(tuple(operations), units, populations, given, activate, spec)
