"""Windows that move over the rows and columns of an image, as options of layers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from plastic_core.api import CircuitBuilder, Node, PlasticError


def _sides(value: Any) -> Any:
    """Accept "5x3", and one number for a square."""
    sides = value if isinstance(value, list | tuple) else str(value).split("x")
    whole = all(str(side).isdecimal() and len(str(side)) < 5 for side in sides)
    if len(sides) not in (1, 2) or not whole or 0 in map(int, sides):
        raise ValueError("expected rows and columns from 1 to 9999, such as 5x5, or 5 for both")
    return (int(sides[0]), int(sides[-1]))


#: Rows and columns of a window, or of its steps.
Window = Annotated[tuple[int, int], BeforeValidator(_sides)]


def check_window(net: CircuitBuilder, x: Node, window: tuple[int, int], pad: int = 0) -> None:
    """Check that a window fits into the rows and columns of a population.

    Raises:
        PlasticError: it does not.
    """
    grid = [side + 2 * pad for side in net.grid(x)]
    if any(size > side for size, side in zip(window, grid, strict=True)):
        shown, place = ("x".join(map(str, sides)) for sides in (window, grid))
        padded = f", {pad} of padding included," if pad else ""
        raise PlasticError(
            f"a window of {shown} does not fit into the {place} places{padded} that it moves over; "
            "make it smaller, or leave out a layer below that makes the image smaller"
        )
