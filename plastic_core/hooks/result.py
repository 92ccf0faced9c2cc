"""What a local update returned, taken apart."""

from __future__ import annotations

from typing import Any

from plastic_core.api.specs import RuleSpec


def split_result(spec: RuleSpec, result: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the update of each matrix that a rule modifies, and the new values of its states.

    Args:
        spec: of the rule.
        result: of its `plastic_local_update`: an update, or ``{matrix: update}`` where it modifies
            both, and with state ``(update, {name: new})``.
    """
    update, states = result if spec.state else (result, {})
    if len(spec.modifies) == 1:
        (matrix,) = spec.modifies
        update = {matrix: update}
    return update, states
