"""Vector Oja: encoders move to the inputs that drive their units."""

from pydantic import BaseModel, ConfigDict, Field

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, decay, hookimpl, outer


class VojaParams(BaseModel):
    """Parameters of voja."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: float = Field(1.0, gt=0, description="of encoders: gain over radius of the units")


class Voja(Rule):
    r"""The encoder of an active unit moves towards the input.

    .. math:: \Delta W_{ij} = y_i \left(\alpha\, x_j - W_{ij}\right)

    A unit that only one input drives ends with that input, times :math:`\alpha`, as its encoder.

    In the source, and in Nengo, :math:`x` is the vector that a population decodes, :math:`y` a filtered
    spike train, and :math:`\alpha` each unit's gain over the radius; here :math:`x` is the activity of
    the layer below and :math:`\alpha` the same for all units. Activity is to be positive: a unit below
    0 moves away from the input. With :math:`\alpha = 1` it is the forward part of ``foldiak``.
    """

    spec = RuleSpec(
        name="voja",
        summary="vector Oja: the weights of active units move towards the input",
        equation=r"y_i (\alpha\, x_j - W_{ij})",
        reference="Voelker, Crawford, Eliasmith 2014, Learning large-scale heteroassociative memories "
        "in spiking neurons, compneuro.uwaterloo.ca/publications/voelker2014a.html",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-4),
        params=VojaParams,
    )

    params: VojaParams

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return scale y x' - y W."""
        return self.params.scale * outer(s.post, s.pre) + decay(s.post)
