"""The table that the tests of this folder share."""

import pytest

from tests.data.points import WINE


@pytest.fixture
def wine(tmp_path):
    """Return a CSV file with the names of three wines."""
    file = tmp_path / "wine.csv"
    WINE.to_csv(file, index=False)
    return str(file)
