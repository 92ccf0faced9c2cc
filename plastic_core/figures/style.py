"""How all figures look: plastic.mplstyle, and colours that colour-blind readers tell apart."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import matplotlib as mpl

# Okabe and Ito's palette; black first, as in the paper.
COLOURS: Final = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

STYLE: Final[Any] = mpl.rc_params_from_file(
    str(files(__package__) / "plastic.mplstyle"), use_default_template=False
)
