"""Layer normalisation, without gain and bias, and its derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

#: Added to the variance.
EPSILON: Final = 1e-5


def normalise(z: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return z normalised over the units of its layer, and the scale that it was multiplied by.

    .. math:: \hat z = s\,(z - \bar z), \qquad s = 1 / \sqrt{\mathrm{var}(z) + \epsilon}

    Ba, Kiros and Hinton 2016, arXiv:1607.06450.

    Args:
        z: ``[R, K, n]``.

    Returns:
        The normalised z ``[R, K, n]`` and s ``[R, K, 1]``.
    """
    centred = z - z.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + EPSILON).rsqrt()
    return centred * scale, scale


def normalise_back(error: Tensor, normalised: Tensor, scale: Tensor) -> Tensor:
    r"""Return dL/dz from dL/d\hat z, exactly.

    .. math:: e = s\,(\hat e - \overline{\hat e} - \hat z\, \overline{\hat e \hat z})

    Args:
        error: ``[R, K, n]``, dL/d\hat z.
        normalised: ``[R, K, n]``, from `normalise`.
        scale: ``[R, K, 1]``, from `normalise`.
    """
    along = (error * normalised).mean(-1, keepdim=True)
    return (error - error.mean(-1, keepdim=True) - normalised * along) * scale
