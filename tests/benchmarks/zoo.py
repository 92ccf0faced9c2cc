"""What each plugin of docs/examples/plastic-zoo is: its size, backends, kit, numbers and accuracy.

Run by hand: ``python -m tests.benchmarks.zoo``. The loops and thetas are those of the tests of the
zoo; two networks of 1 and of 3 hidden layers learn 1,000 of the digits that come with scikit-learn,
on the backend that is chosen for them, whether they learn much or not. Seconds hold all that a run
takes, C that is compiled too. "!" stands where a network diverged. The pages of the zoo show what
``--write docs/zoo/record.json`` leaves. The compiled backend is tried for all but rules that settle,
which take it minutes each.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import json
import sys
import time
import tokenize
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from plastic_core import run
from plastic_core.api import Measure, Probe, ProbeSpec, Signals, Transform, hookimpl
from plastic_core.hooks.own import state_key
from plastic_core.hooks.result import split_result
from plastic_core.results.environment import environment
from plastic_core.testing.inspection import Effort, check
from plastic_core.testing.reference import differences, kept, network_of, one_event, plain
from plastic_core.testing.small import theta_of
from plastic_core.testing.targets import find_target

ZOO = Path(__file__).parents[2] / "docs" / "examples" / "plastic-zoo"

SAMPLES, POINTS, HELD_OUT, EMPTY = 1000, 10, 250, SimpleNamespace()

HEADER = (
    f"{'name':22} {'lines':>5} {'backends':24} {'kit':6} {'from loops':>10} "
    f"{'1 layer':>7} {'s':>5} {'3 lay.':>7} {'s':>5}"
)

_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    tokenize.ENDMARKER,
}


class Correct(Probe):
    """The accuracy, which is not the score of every loss."""

    spec = ProbeSpec(
        name="correct",
        summary="share of points whose greatest output is that of their class",
        equation="[argmax y = argmax t]",
        reference="none",
        measures={"correct": Measure(long_name="accuracy", dims=())},
    )

    @hookimpl
    def plastic_measure(self, n):
        guess, label = n.activities[-1].argmax(-1), n.targets.argmax(-1)
        return {"correct": (guess == label).double().mean(-1)}


def lines_of_code(plugin):
    """Return the lines of a class, without docstrings, comments and blank lines."""
    source = inspect.getsource(plugin)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = {
        line
        for token in tokens
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            text = node.body[0]
            lines -= {*range(text.lineno, text.end_lineno + 1)}
    return len(lines)


def step_difference(rule, reference):
    """Return how far matrices and states are from the loops after one step of the engine."""
    seen = {}

    class Seen(rule):
        @hookimpl
        def plastic_local_update(self, s):
            if isinstance(s, Signals):  # else it is tried
                own = {kind: copied(getattr(s, kind, None)) for kind in ("state", "noise", "theta")}
                seen[s.layer] = kept(s, **own)
            return super().plastic_local_update(s)

    theta, worst = theta_of(rule), 0.0
    engine, x, target = network_of(Seen(), theta)
    named = engine.parameters.named()
    before = {name: value.clone() for name, value in named.items()}
    with torch.no_grad():
        engine.step(x[:, :1], target[:, :1])
    for layer, s in seen.items():
        for replica in range(len(x)):
            slow = reference(plain(one_event(s, 0), replica))
            updates, states = split_result(rule.spec, slow)
            expected = {
                f"state.{state_key(rule.spec.name, layer - 1, name)}": value
                for name, value in states.items()
            }
            for matrix, increment in updates.items():
                key = f"{'weight' if matrix == 'forward' else matrix}.{layer}"
                old = before[key][replica].numpy()
                expected[key] = old + theta * np.reshape(increment, old.shape)
            for key, value in expected.items():
                new = named[key][replica].numpy()
                worst = max(worst, np.abs(new - np.reshape(value, new.shape)).max())
    return worst


def copied(own):
    """Return states, noise or thetas of a rule as they are now."""
    return SimpleNamespace(**{name: value.clone() for name, value in vars(own or EMPTY).items()})


def largest_difference(plugin, suite):
    """Return that from the loops: of a step, and of the hooks that made its signals."""
    if hasattr(suite, "largest_difference"):
        return suite.largest_difference()
    if not suite.reference:
        return None
    found = [step_difference(plugin, suite.reference)]
    for hook, reference in (
        ("plastic_forward", suite.forward_reference),
        ("plastic_propagate_error", suite.error_reference),
        ("plastic_input", suite.input_reference),
        ("plastic_settle", suite.settle_reference),
    ):
        if reference:
            found += differences(plugin, reference, hook).values()
    return max(found)


def trained(plugin, tests, depth):
    """Return what became of networks that learn as in the tests, or None where they do not."""
    if issubclass(plugin, Transform):
        expression, options, more = "0.1*bp", {}, {"transforms": (plugin.spec.name,)}
    else:
        found = [one[1:] for one in tests.LEARN if one[0] is plugin]
        if not found:
            return None
        (expression, options), more = found[0], {}
    more |= {
        "samples": SAMPLES,
        "evaluations": POINTS,
        "probes": ("correct",),
        "probe_samples": HELD_OUT,
    }
    spec = tests.learning(expression, options, depth, **more)
    kind = "transforms" if spec.transforms else "rules"
    begun = time.perf_counter()
    result = run(spec, **{kind: [plugin]}, probes=[Correct])
    seconds = time.perf_counter() - begun
    correct = result.curves["correct"].mean("seed")
    return {
        "rule": expression,
        "options": options,
        "step": correct["step"].values.tolist(),
        "accuracy": [round(one, 4) for one in correct.values.tolist()],
        "diverged": bool((result.curves["diverged_at"] >= 0).any()),
        "seconds": round(seconds, 1),
    }


def row(name, measured):
    """Return what was measured of a plugin as a line of the table."""
    off = measured["from_loops"]
    cells = [
        f"{name:22} {measured['lines']:5} {measured['backends']:24} {measured['kit']:6}",
        f"{'-' if off is None else f'{off:.1e}':>10}",
    ]
    for learned in measured["learned"].values():
        correct, seconds = "-", "-"
        if learned:
            correct = f"{learned['accuracy'][-1]:.1%}{'!' if learned['diverged'] else ''}"
            seconds = f"{learned['seconds']:.1f}"
        cells.append(f"{correct:>7} {seconds:>5}")
    return " ".join(cells)


def checked(plugin):
    """Return the report of the kit on one plugin."""
    settles = getattr(plugin.spec, "settle", None) is not None
    effort = Effort(not settles, say=lambda line: print(line, file=sys.stderr))
    return check(inspect.getsourcefile(plugin), effort)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table as JSON too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    candidates = find_target(str(ZOO)).candidates  # puts the zoo where Python finds it
    sys.path.insert(0, str(ZOO / "tests"))
    modules = [import_module(path.stem) for path in sorted((ZOO / "tests").glob("test_*.py"))]
    (tests,) = (module for module in modules if hasattr(module, "LEARN"))
    suites = {
        getattr(one, "rule", None) or getattr(one, "transform", None): one()
        for module in modules
        for name, one in vars(module).items()
        if name.startswith("Test")
    }
    print(HEADER, "-" * len(HEADER), sep="\n")
    table, processor = {}, environment(None)["processor"]
    for candidate in candidates:
        plugin = candidate.load()
        report = checked(plugin)
        faults = any(one.plugin == candidate.title for one in report.findings)
        table[candidate.name] = {
            "processor": processor,
            "lines": lines_of_code(plugin),
            "backends": report.plugins[candidate.title].partition(";")[0] or "-",
            "kit": "fails" if faults else "passes",
            "from_loops": largest_difference(plugin, suites[plugin]) if plugin in suites else None,
            "learned": {depth: trained(plugin, tests, depth) for depth in (1, 3)},
        }
        print(row(candidate.name, table[candidate.name]), flush=True)
    if asked.write:
        asked.write.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
