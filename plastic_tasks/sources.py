"""Where the data sets come from, and under which licence."""

from __future__ import annotations

from typing import Final

MNIST: Final = "MNIST: LeCun, Cortes, Burges 1998, yann.lecun.com/exdb/mnist; CC BY-SA 3.0"
FASHION_MNIST: Final = "Fashion-MNIST: Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747; MIT licence"
EMNIST: Final = (
    "EMNIST: Cohen, Afshar, Tapson, van Schaik 2017, arXiv:1702.05373; from NIST's Special "
    "Database 19, public domain"
)
DIGITS: Final = (
    "digits: Alpaydin, Kaynak 1998, doi:10.24432/C50P49, as scikit-learn holds them; CC BY 4.0"
)

#: What ``--dataset`` chooses from.
IMAGES: Final = (MNIST, FASHION_MNIST, EMNIST)
