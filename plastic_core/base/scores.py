"""How scores are written: accuracies in percent, all others as they are."""

from __future__ import annotations

#: The score of classification; results of before others existed hold no name.
ACCURACY = "accuracy"


def factor(score: str) -> int:
    """Return what a score is multiplied by where it is shown."""
    return 100 if score == ACCURACY else 1


def number(score: str, value: float, sign: str = "") -> str:
    """Return a score without its unit; `sign` is that of a format, such as +."""
    digits = 2 if score == ACCURACY else 4
    return f"{factor(score) * value:{sign}.{digits}f}"


def heading(score: str) -> str:
    """Return a score as the heading of a column, with its unit."""
    return "accuracy %" if score == ACCURACY else score


def score_label(score: str) -> str:
    """Return a score as the label of an axis."""
    return "held-out accuracy (%)" if score == ACCURACY else f"held-out {score}"


def text(score: str, value: float) -> str:
    """Return the value of a score with its unit."""
    return f"{100 * value:.1f}%" if score == ACCURACY else f"{value:.3f}"
