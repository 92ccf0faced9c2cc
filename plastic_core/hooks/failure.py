"""Hooks that fail in the middle of training, where they were sound when they were tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plastic_core.api.specs import RuleSpec
from plastic_core.api.update import Update
from plastic_core.base.errors import TrainingError, describe_exception, line_of
from plastic_core.hooks.result import split_result


def guarded(
    owner: str, hook: str, function: Callable[[Any], Any], spec: RuleSpec | None = None
) -> Callable[[Any], Any]:
    """Return a hook that says, where it raises, whose it is, and in which layer.

    Args:
        owner: such as "rule 'oja'".
        hook: its name.
        function: the hook.
        spec: of the rule whose local update it is, which raises where it returns no update.
    """

    def call(s: Any) -> Any:
        try:
            result = function(s)
            if spec is not None and not isinstance(result, Update):
                _check(spec, result)
        except (Exception, SystemExit) as error:
            layer = getattr(s, "layer", None)
            where = "" if layer is None else f" in layer {layer}"
            raise TrainingError(
                f"the {owner} failed{where}: {hook} raised "
                f"{describe_exception(error)}{line_of(error)}"
            ) from error
        return result

    return call


def _check(spec: RuleSpec, result: Any) -> None:
    """Check that what a local update returned holds updates.

    Raises:
        TypeError: it does not.
    """
    try:
        updates, _ = split_result(spec, result)
        kinds = [one for one in updates.values() if not isinstance(one, Update)]
    except (TypeError, ValueError, AttributeError):
        kinds = [result]
    for one in kinds:
        if not hasattr(one, "shape"):  # a tensor is a dense update
            raise TypeError(f"it returned {one!r}, which is no update")
