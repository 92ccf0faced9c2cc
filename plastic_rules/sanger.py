"""Sanger's generalised Hebbian algorithm."""

from plastic_core.api import Rule, RuleSpec, Signals, Theta, Update, hookimpl, outer


class Sanger(Rule):
    r"""Oja's rule in which each unit reconstructs the input only with the units before it.

    .. math::
        \Delta W_l = \theta \left( y_l\, y_{l-1}^\top
                     - \operatorname{LT}(y_l\, y_l^\top)\, W_l \right)

    LT keeps the lower triangle, diagonal included. In a linear layer the rows of W become the
    principal components of the input themselves, in order of variance, where `oja` finds the
    subspace that they span. Without LT it is `oja`; with one unit it is `oja-single`. The
    triangle takes the matrix W, so that it runs on the eager and compiled backends.
    """

    spec = RuleSpec(
        name="sanger",
        summary="Sanger's generalised Hebbian algorithm: principal components in order",
        equation=r"y_l\, y_{l-1}^\top - \mathrm{LT}(y_l\, y_l^\top)\, W_l",
        reference="Sanger 1989, doi:10.1016/0893-6080(89)90044-0",
        modifies="forward",
        reads={"post", "source", "weight"},
        theta=Theta(default=1e-4),
    )

    @hookimpl
    def plastic_local_update(self, s: Signals) -> Update:
        """Return y x' - LT(y y') W."""
        triangle = (s.post.mT @ s.post).tril() / s.batch
        return outer(s.post, s.source) - triangle @ s.weight
