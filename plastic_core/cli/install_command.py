"""``plastic install`` and ``plastic uninstall``: packages of plugins, by pip."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

from cyclopts import App, Parameter

from plastic_core.base.errors import PlasticError
from plastic_core.plugins import installation

install_app = App(name="install", help="Install packages with rules and tasks, and check them.")
uninstall_app = App(name="uninstall", help="Remove packages with rules and tasks.")


@install_app.default
def install(
    *specs: str,
    editable: Annotated[list[str] | None, Parameter(name=("--editable", "-e"), negative=())] = None,
) -> int:
    """Install packages with rules and tasks by pip, and check what came.

    Exit code 0: installed, no fault; 1: installed, with faults; 2: not installed.

    Args:
        specs: names on the package index, wheels, folders or URLs.
        editable: a folder that stays where it is; changes in it count at once. May be repeated.
    """
    if not specs and not editable:
        raise PlasticError("install: name what to install, such as plastic-my-rule or -e ./folder")
    came = installation.install(specs, editable or [])
    if not came:
        print("all of it is installed already; 'plastic plugins' lists what there is")
        return 0
    # pip has changed what can be imported: a fresh process sees it
    code = 0
    for name in came:
        points = _fresh("-c", _COUNT, name)
        if points == 0:
            code = max(code, _fresh("-m", "plastic_core", "check", name, "--no-compiled"))
        else:
            print(f"{name}: installed; it brings no plugins", flush=True)
    if code:
        print(
            "a plugin at fault disturbs no other; 'plastic uninstall NAME' removes it",
            file=sys.stderr,
        )
    return 1 if code else 0


@uninstall_app.default
def uninstall(*names: str) -> None:
    """Remove packages with rules and tasks by pip; none of them is loaded.

    Args:
        names: of the packages, as 'plastic plugins' lists them.
    """
    if not names:
        raise PlasticError("uninstall: name what to remove; 'plastic plugins' lists it")
    installation.uninstall(names)
    print(f"removed {', '.join(names)}")


# Exits with 0 where a distribution brings plugins.
_COUNT = (
    "import sys; from plastic_core.plugins.installation import distributions, normal; "
    "sys.exit(normal(sys.argv[1]) not in distributions())"
)


def _fresh(*arguments: str) -> int:
    return subprocess.run([sys.executable, *arguments], check=False).returncode
