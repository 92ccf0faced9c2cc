"""Learning of the unit that wins, and unlearning of one that nearly does."""

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, decay, hookimpl, outer


class KrotovHopfieldParams(BaseModel):
    """Parameters of krotov-hopfield."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(2, ge=2, description="the unit that unlearns, counted from the one that wins")
    delta: float = Field(0.4, ge=0, description="how much it unlearns")


class KrotovHopfield(Rule):
    r"""Units are ranked by their input: the first learns it, the k-th unlearns it.

    .. math::
        \Delta W_{ij} = g_i \left(x_j - z_i W_{ij}\right), \qquad
        g_i = \begin{cases} 1 & z_i \text{ is the greatest} \\
            -\Delta & z_i \text{ is the k-th greatest} \\ 0 & \text{else} \end{cases}

    The weights of units that win end at length 1. This is the rule with the Lebesgue norm p = 2, and
    the source uses 2 and 3. What follows a trained layer there is a power of its activity and a layer
    that learns by backpropagation; here it is whatever the network and the expression say. The
    increments are not divided by the greatest of them, as the published code does. Units that are
    equal win or lose together. In a layer of fewer units than `rank` the last one unlearns.
    """

    spec = RuleSpec(
        name="krotov-hopfield",
        summary="the winner of a layer learns its input, a runner-up unlearns it",
        equation=r"g_i (x_j - z_i W_{ij}), \quad g_i = 1, -\Delta, 0 \text{ by the rank of } z_i",
        reference="Krotov, Hopfield 2019, doi:10.1073/pnas.1820458116",
        modifies="forward",
        reads={"pre", "z"},
        theta=Theta(default=1e-3),
        params=KrotovHopfieldParams,
    )

    params: KrotovHopfieldParams

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return g x' - g z W."""
        ranked = s.z.topk(min(self.params.rank, s.z.shape[-1]), -1).values
        wins, loses = s.z == ranked[..., :1], s.z == ranked[..., -1:]
        learned = wins.to(s.z.dtype) - self.params.delta * (loses & ~wins).to(s.z.dtype)
        return outer(learned, s.pre) + decay(learned * s.z)
