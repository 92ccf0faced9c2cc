"""Pages made from what is installed: a list of the plugins of a kind, and the commands."""

from __future__ import annotations

import contextlib
import io
import os
import re
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

import plastic_core
from plastic_core import api
from plastic_core.cli import execute
from plastic_core.plugins.catalogue import Catalogue

#: In the order of a newcomer's way.
COMMANDS = (
    "run",
    "sweep",
    "compare",
    "reproduce",
    "report",
    "predict",
    "export",
    "search",
    "meta",
    "store",
    "store verify",
    "store prune",
    "rules",
    "rules show",
    "tasks",
    "plugins",
    "new-rule",
    "new-task",
    "check",
    "install",
    "uninstall",
    "bench",
)


class PluginList(SphinxDirective):
    """``.. plastic-plugins:: rule`` lists all built-in plugins of a kind, from their specs."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        kind: Any = self.arguments[0]
        lines: list[str] = []
        for entry in Catalogue().entries(kind):
            if entry.distribution == "plastic-learning":
                lines += _section(entry)
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, kind), node)
        return node.children


def _section(entry: Any) -> list[str]:
    title = [f".. _{entry.kind}-{entry.name}:", "", entry.name, "-" * len(entry.name), ""]
    return title + described(entry.kind, entry.plugin)


def described(kind: str, plugin: Any) -> list[str]:
    """Return what the specification of a plugin says, and its docstring, as reStructuredText."""
    spec = plugin.spec
    lines = [f"{spec.summary[0].upper()}{spec.summary[1:]}.", ""]
    if hasattr(spec, "equation"):
        lines += [f".. math:: {spec.equation}", ""]
    fields = [("source", spec.reference)] if hasattr(spec, "reference") else []
    if kind == "rule":
        fields += [
            ("theta", spec.accepted_thetas),
            ("modifies", ", ".join(sorted(spec.modifies))),
            ("reads", ", ".join(f"``{name}``" for name in sorted(spec.reads)) or "nothing"),
            ("propagates the error", "yes" if spec.propagates else "no"),
            ("feedback matrices", spec.feedback or "none"),
        ]
        fields += [("noise", ", ".join(sorted(spec.noise)))] if spec.noise else []
        fields += [("passes", str(spec.passes))] if spec.passes > 1 else []
        if spec.settle:
            settle = spec.settle
            fields.append(("settles", f"{', '.join(settle.phases)}; {settle.steps} steps each"))
    fields += [(f"state ``{n}``", f"over {s.over}") for n, s in getattr(spec, "state", {}).items()]
    if kind == "probe":
        fields.append(
            ("measured at", "every evaluation" if spec.when == "every" else "the last evaluation")
        )
        for name, measure in spec.measures.items():
            over = ", ".join(f"``{dim}``" for dim in measure.dims)
            units = "" if measure.units == "1" else f", in {measure.units}"
            fields.append((f"``{name}``", f"{_plain(measure.long_name)}{units}; over {over}"))
    if kind == "loss":
        direction = "" if spec.score.higher_is_better else ", less is better"
        fields += [
            ("score", f"``{spec.score.name}``, {_plain(spec.score.long_name)}{direction}"),
            ("targets", spec.targets),
        ]
    if kind == "layer":
        fields.append(("written", f"``{spec.example}``"))
    options = getattr(spec, "params", None) or getattr(spec, "options", None)
    for name, field in (options.model_fields if options else {}).items():
        label = f"``--{name.replace('_', '-')}``" if kind == "task" else f"``{name}``"
        default = "required" if field.is_required() else f"default ``{field.default!r}``"
        fields.append((label, f"{field.description or ''} ({default})"))
    if kind == "observer":
        fields += [(f"needs ``{module}``", f"``{how}``") for module, how in spec.requires.items()]
    if fields:
        lines += [".. list-table::", "   :widths: 1 3", "   :width: 100%", ""]
    for label, text in fields:
        lines += [f"   * - {label}", f"     - {text}"]
    return [*lines, "", f".. autoclass:: {plugin.__module__}.{plugin.__qualname__}", ""]


def _plain(text: str) -> str:
    """Return text in which nothing is markup."""
    return re.sub(r"([\\|*`_])", r"\\\1", text)


class CommandList(SphinxDirective):
    """``.. plastic-commands::`` lists all commands, each with what its --help prints."""

    def run(self) -> list[nodes.Node]:
        lines = _code(_help())
        for command in COMMANDS:
            title = f"plastic {command}"
            lines += [title, "-" * len(title), "", *_code(_help(*command.split()))]
        node = nodes.section()
        node.document = self.state.document
        nested_parse_with_titles(self.state, StringList(lines, "commands"), node)
        return node.children


def _help(*command: str) -> str:
    os.environ["COLUMNS"] = "86"
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        execute([*command, "--help"])
    return out.getvalue()


def _code(text: str) -> list[str]:
    return [".. code-block:: text", "", *(f"   {line}" for line in text.splitlines()), ""]


def _spec_signature(
    app: Sphinx, what: str, name: str, thing: Any, *_: Any
) -> tuple[str, None] | None:
    """Write the fields of a specification with their defaults."""
    if what != "class" or not issubclass(thing, api.Spec) or not thing.model_fields:
        return None
    fields = [
        field if info.is_required() else f"{field}={info.get_default()!r}"
        for field, info in thing.model_fields.items()
    ]
    return f"({', '.join(fields)})", None


def _find_public(app: Sphinx, env: Any, node: Any, child: Any) -> Any:
    """Lead a reference to where a public name is defined to where it is documented."""
    name = node.get("reftarget", "").rpartition(".")[2]
    documented = {
        "plastic_core.api": api.__all__,
        "plastic_core": plastic_core.__all__,
    }
    for module, names in documented.items():
        target = f"{module}.{name}"
        if name in names and node.get("reftarget") != target:
            domain = env.get_domain("py")
            where = (env, node["refdoc"], app.builder)
            return domain.resolve_xref(*where, "obj", target, node, child)
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("plastic-plugins", PluginList)
    app.add_directive("plastic-commands", CommandList)
    app.connect("missing-reference", _find_public)
    app.connect("autodoc-process-signature", _spec_signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
