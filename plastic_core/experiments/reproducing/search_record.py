"""What a search chose, kept in a file: such files stand beside the specs of the stored figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import write_json
from plastic_core.base.reading import read_json

Choices = list[dict[str, Any]]

_REMEDY: Final = "free or allow it, or give another file with --record"


def read_choices(file: Path) -> Choices:
    """Return the choices of a file, each with at least "network" and "arm"; none where it is new.

    Raises:
        PlasticError: it is no such file.
    """
    try:
        choices: Choices = read_json(file)
        for one in choices:
            _arm_of(one)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PlasticError(
            f"{file}: is no record of a search ({type(error).__name__}: {error}); give another "
            "file with --record"
        ) from None
    return choices


def add_choices(file: Path, choices: Choices) -> None:
    """Add choices to a file, each in place of an earlier one for the same arm and network.

    Raises:
        PlasticError: it is no record of a search, or cannot be written.
    """
    kept = {_arm_of(one): one for one in read_choices(file)}
    kept |= {_arm_of(one): one for one in choices}
    write_json(file, [*kept.values()], _REMEDY)


def _arm_of(choice: dict[str, Any]) -> tuple[str, str]:
    return choice["network"], choice["arm"]
