"""Learning from a second look at an input that the error changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer

if TYPE_CHECKING:
    from torch import Tensor


class Pepita(Rule):
    r"""The error is added to the input through a fixed matrix, and the input shown again.

    .. math:: \Delta W_l = -(y_l - \tilde y_l)\, \tilde y_{l-1}^\top, \qquad \tilde y_0 = x + F e

    The output learns by its error in the first pass, :math:`-e\, \tilde y_{L-1}^\top`.
    """

    spec = RuleSpec(
        name="pepita",
        summary="the input once more, with the error added to it",
        equation=r"-(y_l - \tilde y_l)\, \tilde y_{l-1}^\top",
        reference="Dellaferrera, Kreiman 2022, arXiv:2201.11665",
        modifies="forward",
        reads={"feedback_error", "output_error", "post", "pre"},
        theta=Theta(default=1e-2),
        feedback="output",
        passes=2,
    )

    @hookimpl
    def plastic_input(self, s: Signals) -> Tensor:
        """Return x + F e."""
        return s.input + s.feedback_error

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -(y - y of the second pass) y', of the second pass."""
        first, second = s.passes
        if s.is_output:
            return -outer(first.output_error, second.pre)
        return -outer(first.post - second.post, second.pre)
