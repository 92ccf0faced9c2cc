"""What was measured, read back from a netCDF file; it loads no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plastic_core.base.errors import PlasticError
from plastic_core.base.scores import ACCURACY

if TYPE_CHECKING:
    import xarray as xr

CURVES_FILE: Final = "curves.nc"

#: What the variables of curves.nc are over.
RUN_CURVES: Final = dict.fromkeys(("score", "loss"), ("seed", "step"))


def read_dataset(file: Path, dims: Mapping[str, tuple[str, ...]]) -> xr.Dataset:
    """Return a file of what was measured.

    Args:
        file: made by `ResultFolder.write_arrays`.
        dims: what its variables must be over; "score" is the variable that the attribute of this
            name says, which files of before there was another than accuracy lack.

    Raises:
        PlasticError: it is missing or damaged.
    """
    import xarray as xr

    try:
        if os.path.lexists(file) and not file.is_file():
            raise ValueError("it is no regular file")
        measured = xr.load_dataset(file, engine="netcdf4")
        if "score" in dims:
            measured.attrs.setdefault("score", ACCURACY)
        for name, over in dims.items():
            variable = measured.attrs["score"] if name == "score" else name
            if measured[variable].dims != over:
                raise ValueError(f"{variable} is over {measured[variable].dims}")
        return measured
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise PlasticError(
            f"{file}: cannot be read: {error}; run again with another --out"
        ) from None
