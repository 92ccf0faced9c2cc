"""New plugin packages, written from the templates."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import explained
from plastic_core.plugins.catalogue import Catalogue

ScaffoldKind = Literal["rule", "task"]


def write_package(kind: ScaffoldKind, name: str, parent: Path) -> list[Path]:
    """Write the folder ``plastic-NAME`` into `parent` and return its files.

    Raises:
        PlasticError: the name cannot be one, is taken, or the folder exists.
    """
    words = _words(kind, name)
    folder = parent / words["distribution"]
    package = folder / words["module"]
    parts = {
        folder / "pyproject.toml": "pyproject.toml",
        folder / "README.md": "README.md",
        package / "__init__.py": "package.py",
        package / f"{kind}.py": f"{kind}.py",
        folder / "tests" / f"test_{kind}.py": f"test_{kind}.py",
    }
    if folder.exists():
        raise PlasticError(f"{folder} is there already; choose another name, or move it away")
    for path, template in parts.items():
        _write(path, kind, template, words)
    typed = package / "py.typed"
    typed.touch()
    return [*parts, typed]


def write_file(kind: ScaffoldKind, name: str, parent: Path) -> Path:
    """Write the plugin as one file, for ``--plugin``, and return its path.

    Raises:
        PlasticError: the name cannot be one, is taken, or the file exists.
    """
    words = _words(kind, name)
    path = parent / f"{name.replace('-', '_')}.py"
    if path.exists():
        raise PlasticError(f"{path} is there already; choose another name, or move it away")
    _write(path, kind, f"{kind}.py", words)
    return path


def _words(kind: ScaffoldKind, name: str) -> dict[str, str]:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise PlasticError(
            f"the name {name!r}: expected small letters and digits in words joined by hyphens, "
            f"such as my-{kind}"
        )
    if name in Catalogue().names(kind):
        raise PlasticError(
            f"there is already a {kind} '{name}'; choose another name "
            f"('plastic {kind}s' lists those that are taken)"
        )
    cls = "".join(word.capitalize() for word in name.split("-"))
    distribution = f"plastic-{name}"
    module = distribution.replace("-", "_")
    return {"name": name, "cls": cls, "distribution": distribution, "module": module}


def _write(path: Path, kind: str, template: str, words: dict[str, str]) -> None:
    source = files("plastic_core.plugins.templates") / kind / f"{template}.template"
    text = Template(source.read_text(encoding="utf-8")).substitute(words)
    with explained(path, "allow it, or work in another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
