"""Which connections there are, where each unit has some of them.

This module loads no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plastic_core.base.errors import PlasticError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def drawn_mask(n_post: int, n_pre: int, fraction: float, place: int) -> NDArray[np.bool_] | None:
    """Return a mask ``[n_post, n_pre]`` that leaves each unit ``round(fraction * n_pre)`` inputs.

    At least one each. They are those with the least numbers of Philox (Salmon et al. 2011), which
    counts, so that the mask is a property of the network: the same for all seeds, in every
    process and after a run was resumed.

    Args:
        n_post: units that receive.
        n_pre: units that send.
        fraction: of all connections, above 0 and at most 1.
        place: of the projection in the network; each draws connections of its own.

    Returns:
        The mask, or None where all connections are there.

    Raises:
        PlasticError: the fraction is none.
    """
    if not 0 < fraction <= 1:
        raise PlasticError(f"connections = {fraction!r}: expected a number above 0 and at most 1")
    count = max(1, round(fraction * n_pre))
    if count == n_pre:
        return None
    # loaded where a network needs it alone, for planning is quick
    import numpy as np

    from plastic_core.base.seeds import Purpose, seed_sequence

    source = np.random.Philox(seed_sequence(Purpose.CONNECTIONS, place))
    numbers = source.random_raw(n_post * n_pre).reshape(n_post, n_pre)
    mask = np.zeros((n_post, n_pre), bool)
    np.put_along_axis(mask, numbers.argsort(1)[:, :count], True, 1)
    return mask
