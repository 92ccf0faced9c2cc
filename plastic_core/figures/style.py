"""How all figures look: plastic.mplstyle, and colours that colour-blind readers tell apart."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.text import Text

# Okabe and Ito's palette; black first, as in the paper.
COLOURS: Final = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

_MATHS: Final = MathTextParser("path")

STYLE: Final[Any] = mpl.rc_params_from_file(
    str(files(__package__) / "plastic.mplstyle"), use_default_template=False
)


def as_written(figure: Figure) -> None:
    """Let texts with dollars that hold no formula, as in names of others, be drawn as they are."""
    for text in figure.findobj(Text):
        try:
            if "$" in text.get_text():  # the first formula takes a while to be read
                _MATHS.parse(text.get_text())
        except ValueError:
            text.set_parse_math(False)
