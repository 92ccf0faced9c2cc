"""The hook points. A plugin implements any of them as methods marked with ``@hookimpl``.

They are validated by pluggy when a plugin is loaded and resolved to plain functions once, when a
run is built: no pluggy call happens in the training loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    from torch import Tensor

    from plastic_core.api.increment import Increment
    from plastic_core.api.signals import Signals
    from plastic_core.api.snapshot import Snapshot
    from plastic_core.api.update import Update

hookspec = pluggy.HookspecMarker("plastic")
hookimpl = pluggy.HookimplMarker("plastic")


class RuleHooks(Protocol):
    """What a rule may implement (since API 1).

    A hook is a pure function of the signals and of the rule's parameters: it changes nothing,
    counts nothing, and draws no numbers. It may be called once and written out.
    `layers` restricts `plastic_forward` and `plastic_local_update`; an error always goes back
    through the whole network.
    """

    @hookspec(firstresult=True)
    def plastic_forward(self, s: Signals) -> Tensor | None:
        r"""Return :math:`z_l`, ``[R, K, n_post]``; by default :math:`z_l = W y_{l-1}` (Equation 1).

        `s` holds `pre` and `weight`. None passes on to the next implementation.
        """

    @hookspec(firstresult=True)
    def plastic_input(self, s: Signals) -> Tensor | None:
        """Return what is shown in a pass behind the first, ``[R, batch, n_0]``.

        `s` holds the signals of the first layer in the pass before, `s.input` and `s.target`, and
        in `s.pass_index` the pass that comes. None shows the input again. At most one rule of a
        run implements it, and says in `passes` how many there are.
        """

    @hookspec(firstresult=True)
    def plastic_propagate_error(self, s: Signals) -> Tensor | None:
        r"""Return the error as it arrives at the presynaptic activity, before :math:`\sigma'`.

        ``[R, K, n_pre]``: bp returns `s.weight_error` (:math:`W^\top e_l`), fa
        `s.feedback_error` (:math:`B e_l`) (Equations 5 and 7).
        """

    @hookspec(firstresult=True)
    def plastic_settle(self, s: Signals) -> Tensor | tuple[Tensor, Tensor]:
        r"""Return the next :math:`z_l` of one population, ``[R, K, n_l]``, or it and a message.

        `s` holds `z`, `below` (:math:`W_l y_{l-1}`), `above` (:math:`W_{l+1}^\top m_{l+1}`, by B if
        the rule has feedback; 0 at the output), `phase` and `target`. The message m is what the
        population below receives next; by default it is the activity, :math:`\sigma(z_l)`.
        """

    @hookspec
    def plastic_local_update(self, s: Signals) -> Update | Tensor | tuple[Any, dict[str, Tensor]]:
        """Return the increment of the matrix, without theta; with state ``(update, {name: new})``.

        An increment is `outer(a, b)`, `decay(factor)`, sums and differences of them, or a
        dense tensor reduced over the events. A rule that modifies both matrices returns
        ``{"forward": increment, "feedback": increment}`` in its place.
        """


class TransformHooks(Protocol):
    """What a transform implements (since API 1)."""

    @hookspec
    def plastic_transform_update(self, u: Increment) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Return the new increment of a matrix; with state ``(increment, {name: new})``."""


class ProbeHooks(Protocol):
    """What a probe implements (since API 1)."""

    @hookspec
    def plastic_measure(self, n: Snapshot) -> Mapping[str, Any]:
        """Return each measure of the spec for each network, as a tensor or an array ``[R, ...]``.

        Behind R are the dimensions of the measure. A number that does not exist, such as the angle
        of a matrix that is not there, is NaN.
        """
