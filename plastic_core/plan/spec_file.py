"""The fields of a run's spec, from a TOML or JSON file or from a run's record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plastic_core.base.errors import PlasticError, reason_of
from plastic_core.base.reading import read_json, read_toml
from plastic_core.plan.expression import ExpressionError, parse


def read_spec_file(path: Path, plugins: Sequence[str] = (), asked: bool = False) -> dict[str, Any]:
    """Return the fields of a run's spec from a TOML or JSON file, unchecked.

    Of a run's record, `asked` takes the spec as it was given, so that thetas follow a changed
    rule or network; else it is the one with the thetas that were used.

    Raises:
        PlasticError: the file cannot be read or parsed, or names files with plugins where none
            are given.
    """
    if path.suffix not in (".toml", ".json"):
        raise PlasticError(f"{path}: a spec is a .toml or .json file{_instead(path)}")
    try:
        content: Any = read_toml(path) if path.suffix == ".toml" else read_json(path)
    except OSError as error:
        raise PlasticError(f"{path}: cannot be read: {reason_of(error)}") from None
    except ValueError as error:
        raise PlasticError(f"{path}: is not valid {path.suffix[1:].upper()}: {error}") from None
    if not isinstance(content, Mapping):
        raise PlasticError(
            f"{path}: expected the fields of a RunSpec, found {type(content).__name__}"
        )
    # a run's record holds what was asked for beside the spec with all thetas written out
    is_record, name = "spec" in content, "asked" if asked else "spec"
    spec: Any = content.get(name, content.get("spec", content))
    if not isinstance(spec, Mapping):
        raise PlasticError(f"{path}: 'spec' must hold the fields of a RunSpec")
    if is_record and not asked:  # a record of before there were readouts names none
        spec = {"readout": "none", **dict(spec)}
    return with_trusted_plugins(path, spec, plugins)


def _instead(path: Path) -> str:
    """Return what to write where something else was given for a spec."""
    if path.is_dir():
        return f"; the record of a run is in its folder: {path / 'run.json'}"
    try:
        parse(str(path))
    except ExpressionError:
        return ""
    return f"; a rule is written --rule {shlex.quote(str(path))}"


def with_trusted_plugins(
    path: Path, spec: Mapping[str, Any], plugins: Sequence[str]
) -> dict[str, Any]:
    """Return the fields of a spec that was read from a file, with the plugin files given.

    A file may come from a stranger, and what it names as a plugin would be executed: only the
    user says what is.

    Raises:
        PlasticError: it names files with plugins, and none are given.
    """
    named = spec.get("plugins")
    if named and isinstance(named, list) and not plugins:  # what is no list is no spec either
        raise PlasticError(
            f"{path}: names files with plugins, which hold code: {named}; read them, "
            "and add --plugin FILE for each that you trust"
        )
    return {**spec, "plugins": tuple(plugins)} if plugins else dict(spec)
