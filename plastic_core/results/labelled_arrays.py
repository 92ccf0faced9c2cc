"""What was measured, with named dimensions: written as netCDF, made an xarray where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from plastic_core.base.locks import NETCDF

if TYPE_CHECKING:
    import xarray as xr

#: Dimensions, array and attributes.
Variable = tuple[tuple[str, ...], Any, dict[str, str]]


@dataclass(frozen=True)
class LabelledArrays:
    """Arrays with named dimensions, units and descriptions.

    xarray takes a second to load, with all that it loads itself, and a run needs none of it.

    Attributes:
        variables: by name.
        coordinates: by name; that of a dimension has its name.
        attributes: of all together.
    """

    variables: Mapping[str, Variable]
    coordinates: Mapping[str, Variable]
    attributes: Mapping[str, str] = field(default_factory=dict)

    def dataset(self) -> xr.Dataset:
        """Return them as an xarray."""
        import xarray as xr

        return xr.Dataset(self.variables, coords=self.coordinates, attrs=self.attributes)

    def netcdf(self) -> memoryview:
        """Return the file that `dataset` would write."""
        import netCDF4

        # made in memory: when writing it to a disk fails, the system says why in its own words
        with NETCDF:
            file = netCDF4.Dataset("in-memory.nc", "w", memory=0)
            for name, (dims, values, attributes) in {**self.coordinates, **self.variables}.items():
                array = np.asarray(values)
                for dim, size in zip(dims, array.shape, strict=True):
                    if dim not in file.dimensions:
                        file.createDimension(dim, size)
                text, real = array.dtype.kind == "U", array.dtype.kind == "f"
                variable = file.createVariable(
                    name, str if text else array.dtype, dims, fill_value=np.nan if real else None
                )
                variable.setncatts(attributes | self._also(name, dims))
                variable[...] = array.astype(object) if text else array
            file.setncatts(self.attributes)
            content: memoryview = file.close()
            return content

    def _also(self, name: str, dims: tuple[str, ...]) -> dict[str, str]:
        """Return the attribute by which readers find coordinates that no dimension is named as."""
        if name in self.coordinates:
            return {}
        beside = [
            one
            for one, (over, *_) in self.coordinates.items()
            if over != (one,) and set(over) <= set(dims)
        ]
        return {"coordinates": " ".join(beside)} if beside else {}
