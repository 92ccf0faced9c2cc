"""Learning of the feedback matrices."""

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer


class BUpdateParams(BaseModel):
    """Parameters of b-update."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    printed: bool = Field(
        False, description="use the transpose of the paper's printed form, -e_{l-1} y_l'"
    )


class BUpdate(Rule):
    r"""The feedback matrices learn from the same activities and errors as the weights.

    .. math:: \Delta B_l = -\theta\, y_{l-1}\, e_l^\top

    The first term of B in Equation 9 of Shervani-Tabar, Mirhoseini and Rosenbaum (2024), in the
    form of Kolen and Pollack: it is the transpose of the weights' own update. The paper prints
    :math:`y_l e_{l-1}^\top`, whose shape is that of :math:`B^\top`; with ``printed`` set, the
    transpose of it is used, :math:`\Delta B_l = -\theta\, e_{l-1}\, y_l^\top`. B has the shape
    ``[R, n_pre, n_post]``.
    """

    spec = RuleSpec(
        name="b-update",
        summary="the feedback matrices learn from the same activities and errors as the weights",
        equation=r"-y_{l-1}\, e_l^\top \quad (\mathrm{printed:}\ -e_{l-1}\, y_l^\top)",
        reference="Kolen, Pollack 1994, doi:10.1109/ICNN.1994.374486",
        modifies="feedback",
        reads={"pre", "error", "post", "pre_error"},
        theta=Theta(default=0.003),
        params=BUpdateParams,
        feedback="layer",
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return -y_{l-1} e_l'."""
        if self.params.printed:
            return -outer(s.pre_error, s.post)
        return -outer(s.pre, s.error)
