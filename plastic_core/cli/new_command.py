"""``plastic new-rule`` and ``plastic new-task``: a package, or a file, to begin with."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from plastic_core.cli.flag_types import Switch
from plastic_core.plugins.scaffold import ScaffoldKind, write_file, write_package

rule_app = App(name="new-rule", help="Write a package with a rule of yours, and its tests.")
task_app = App(name="new-task", help="Write a package with a task of yours, and its tests.")


@rule_app.default
def new_rule(name: str, *, file: Switch = False) -> None:
    """Write a package with a rule of yours, and its tests, into this folder.

    Args:
        name: of the rule, such as my-rule; the package is plastic-my-rule.
        file: write a single file, to be used with --plugin, in place of a package.
    """
    _write("rule", name, file)


@task_app.default
def new_task(name: str, *, file: Switch = False) -> None:
    """Write a package with a task of yours, and its tests, into this folder.

    Args:
        name: of the task, such as my-task; the package is plastic-my-task.
        file: write a single file, to be used with --plugin, in place of a package.
    """
    _write("task", name, file)


def _write(kind: ScaffoldKind, name: str, file: bool) -> None:
    rule = f"{name}+bp" if kind == "rule" else "oja+bp"
    run = f"plastic run --rule {rule} --task {'digits-mlp' if kind == 'rule' else name}"
    if file:
        path = write_file(kind, name, Path())
        print(f"wrote {path}; next:\n  {run} --plugin {path}")
        return
    paths = write_package(kind, name, Path())
    folder = f"plastic-{name}"
    print("\n".join(f"wrote {path}" for path in paths))
    print(f"next:\n  plastic install -e ./{folder}\n  pytest {folder}\n  {run}")
