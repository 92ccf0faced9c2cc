"""The loss of a network."""

from __future__ import annotations

from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import AnyNetwork
from plastic_core.plugins.catalogue import installed


def loss_of(spec: AnyNetwork, given: Loss | None = None) -> Loss:
    """Return the loss that was handed over, as a plan does; else the installed one of the spec.

    Raises:
        PlasticError: there is none of that name.
    """
    if given is not None:
        return given
    loss: Loss = installed("loss", spec.loss)()
    return loss
