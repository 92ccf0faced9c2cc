"""What the slow references of these tests are written with."""

import numpy as np


def loops(rows, columns, value):
    """Return a matrix, element by element."""
    return np.array([[value(i, j) for j in range(columns)] for i in range(rows)])
