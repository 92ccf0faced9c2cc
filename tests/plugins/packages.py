"""Small third-party distributions, built as wheels for the tests."""

import subprocess
import sys
import textwrap
import zipfile

RULE = '''
from plastic_core.api import Rule, RuleSpec, State, Theta, decay, hookimpl, outer

class {cls}(Rule):
    """A rule of a stranger."""

    spec = RuleSpec(
        name="{name}", summary="a rule of a stranger", equation=r"y\\, x^\\top", reference="none",
        modifies="forward", reads={{"post", "pre"}}, theta=Theta(default=1e-4),{more}
    )

    @hookimpl
    def plastic_local_update(self, s):
        {body}
'''


def rule_source(name="mine", cls="Mine", more="", body="return outer(s.post, s.pre)"):
    """Return the source of a module with one rule."""
    return RULE.format(name=name, cls=cls, more=more, body=body)


def build_wheel(folder, distribution, modules, entry_points, version="1.0", data=()):
    """Write a wheel and return its path.

    Args:
        folder: where to.
        distribution: its name.
        modules: source by module name.
        entry_points: {group: {name: target}}.
        version: its version.
        data: text of other files, by path.
    """
    stem = f"{distribution.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in named.items())
        for group, named in entry_points.items()
    )
    files = {f"{name}.py": textwrap.dedent(source) for name, source in modules.items()}
    files |= dict(data)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{info}/entry_points.txt"] = points
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return path


def pip_install(wheel, target):
    """Install a wheel into a folder by pip, with no index."""
    quietly = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        *quietly,
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True)


def unpack(wheel, target):
    """Install a wheel into a folder as pip would, at once."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
