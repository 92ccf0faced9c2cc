"""Labels of axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from plastic_core.base.scores import score_label

if TYPE_CHECKING:
    import xarray as xr

# By variable of the paper's figures. What has no unit says what it is a share of.
_LABELS: Final = {
    "residual": r"$\langle |y_{l-1} - W_l^\top y_l|^2 \rangle$",
    "relative_residual": r"residual / $\langle |y_{l-1}|^2 \rangle$",
    "relative_recurrent_residual": "residual of Eq. 6 / size of the state",
    "activation_norm": r"$\langle |y_l| \rangle$",
    "update_norm": r"$|\Delta W|$",
    "rule_update_norm": r"$|\Delta W_{BP}|$",
    "explained_variance": "variance explained (%)",
    "error_angle": "angle to error of backprop (°)",
    "state_norm": r"$\langle |z_t| \rangle$",
    "singular_value": r"singular value of $W_h$",
    "eigenvalue_modulus": r"|eigenvalue of $W_h$|",
}


def axis_label(variable: str, arms: Mapping[str, xr.Dataset]) -> str:
    """Return the label of an axis: as the paper has it, as a score is called, or as its probe says.

    Args:
        variable: what is drawn.
        arms: curves by label of the arm.
    """
    curves = next(iter(arms.values()))
    if variable in _LABELS:
        return _LABELS[variable]
    if variable == curves.attrs["score"]:
        return score_label(variable)
    name, units = (curves[variable].attrs[key] for key in ("long_name", "units"))
    return str(name) if units == "1" else f"{name} ({units})"
