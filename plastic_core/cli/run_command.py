"""``plastic run``: train the networks of a spec and show their learning curve."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter
from pydantic import BaseModel

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import expanded
from plastic_core.base.streams import stdout_aside
from plastic_core.cli.flag_types import Settings, Switch, Texts, Whole
from plastic_core.cli.spec_flags import (
    COLLECTED,
    assemble,
    attach,
    given_of,
    overridden,
    settings_of,
    task_options,
)
from plastic_core.plan.parent import RUN_FILE, WEIGHTS_FILE
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plan.spec_file import read_spec_file
from plastic_core.plugins.catalogue import Catalogue

if TYPE_CHECKING:
    from plastic_core.experiments.run_result import RunResult


def make_app(arguments: Sequence[str] | None) -> App:
    """Return the command, with the options of the task that `arguments` ask for as flags.

    None, where another command was asked for, looks no task up.
    """
    app = App(name="run", help="Train networks by a rule and show their learning curve.")
    options: type[BaseModel] | None = None
    if arguments is not None:
        options = task_options(arguments)

    @app.default
    def run(
        source: Annotated[str | None, Parameter(show_default=False)] = None,
        *,
        spec: Annotated[Any, Parameter(name="*")] = None,
        task_options: Annotated[Any, Parameter(name="*", group="Options of the task")] = None,
        set_: Settings = None,
        transform: Texts = None,
        probe: Texts = None,
        plugin: Texts = None,
        observe: Texts = None,
        out: str | None = None,
        resume: Switch = False,
        json: Switch = False,
        data_dir: str | None = None,
        threads: Whole | None = None,
        save_weights: bool | None = None,
        store: str | None = None,
        reuse: Switch = False,
    ) -> None:
        """Train networks by a rule and show their learning curve.

        Args:
            source: a spec (.toml, .json), or the run.json of a run to repeat; that of --from
                unless another is named.
            spec: the fields of the spec.
            task_options: the options of the task.
            set_: RULE.NAME=VALUE, such as oja.theta=1e-4, bp.theta=cosine(0.1) or
                oja.layers=1-4; may be repeated.
            transform: name of a transform of the summed update; may be repeated.
            probe: name of a probe that measures the networks, or all; may be repeated.
            plugin: file with an unpackaged plugin; may be repeated.
            observe: name of an observer, such as tensorboard; its parameters by --set; may be
                repeated.
            out: the run folder; default ./runs/TIME-TASK-RULE.
            resume: continue the run that --out holds.
            json: print one JSON object on standard output, everything else on standard error.
            data_dir: data folder, in place of PLASTIC_DATA_DIR; several as in PATH.
            threads: networks trained or evaluated at once; default all cores.
            save_weights: write weights.safetensors, which is done where it takes at most 100 MB.
            store: folder of finished networks, in place of PLASTIC_STORE.
            reuse: take the networks from the store where all of them are there.
        """
        given, chosen = given_of(spec), given_of(task_options)
        changed = bool(chosen or {"rule", "task"} & given.keys())
        begun = given.get("parent")
        read = source or (begun and str(expanded(begun) / RUN_FILE))
        fields = read_spec_file(Path(read), plugin or (), asked=changed) if read else {}
        if begun and options is not None:  # another task may have other options
            kept = options.model_fields.keys()
            fields["options"] = {n: v for n, v in fields.get("options", {}).items() if n in kept}
        fields = overridden(fields, given)
        observing, others = _of_observers(observe or [], set_ or [])
        made = assemble(fields, options, chosen, others, transform, probe, plugin)
        _run(made, observing, out, resume, json, data_dir, threads, save_weights, store, reuse)

    attach(run, options, skip=COLLECTED)
    return app


def _of_observers(
    names: list[str], settings: list[str]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the settings of each observer, and those that are of others.

    Raises:
        PlasticError: a name stands twice, or a setting is malformed.
    """
    bare = {name.rpartition(":")[2]: name for name in names}
    if len(bare) < len(names):
        raise PlasticError(f"observe {', '.join(names)}: one of them stands twice")
    own = [text for text in settings if text.partition(".")[0] in bare]
    found = settings_of(own)
    observing = {name: found.get(one, {}) for one, name in bare.items()}
    return observing, [text for text in settings if text not in own]


def _run(
    spec: RunSpec,
    observing: dict[str, dict[str, Any]],
    out: str | None,
    resume: bool,
    as_json: bool,
    data_dir: str | None,
    threads: int | None,
    save_weights: bool | None,
    store: str | None,
    reuse: bool,
) -> None:
    from plastic_core.cli.progress import RunView
    from plastic_core.experiments.observing import observer_of
    from plastic_core.plan.plan import make_plan

    if reuse and save_weights:
        raise PlasticError("--reuse trains nothing, so that there are no weights to save")
    if resume and out is None:
        raise PlasticError("--resume needs --out DIR, the folder of the run to continue")
    catalogue = Catalogue(spec.plugins)
    plan = make_plan(spec, catalogue)  # mistakes show before torch is loaded
    observers = [observer_of(name, own, catalogue) for name, own in observing.items()]
    if spec.backend == "compiled":
        print("compiling, for a minute or two where it was not done before", file=sys.stderr)
    from plastic_core.experiments.run import run
    from plastic_core.results.claim import new_folder
    from plastic_core.results.store import Store

    # what a plugin prints must not mix with the one JSON object
    aside = stdout_aside() if as_json else contextlib.nullcontext()
    place = new_folder(spec.task, spec.label) if out is None else contextlib.nullcontext(Path(out))
    with aside, place as folder, RunView(plan) as view:
        result = run(
            spec,
            out=folder,
            resume=resume,
            data_dir=data_dir,
            threads=threads,
            save_weights=save_weights,
            store=Store(store),
            reuse=reuse,
            on_plan=view.begin,
            on_point=view.show_point,
            observers=observers,
        )
    _report(result, as_json)


def _report(result: RunResult, as_json: bool) -> None:
    from rich.console import Console

    from plastic_core.cli.output import print_json, print_table
    from plastic_core.experiments.run_table import forgetting_lines, run_lines, run_table
    from plastic_core.plan.planned_readout import METHODS

    summary = result.summary
    headers, row = run_table(summary)
    print_table(headers, [row], Console(stderr=as_json))
    for line in (*forgetting_lines(result), *run_lines(summary)):
        print(line, file=sys.stderr if as_json else sys.stdout)
    if not as_json and result.run_dir and (result.run_dir / WEIGHTS_FILE).exists():
        folder = shlex.quote(str(result.run_dir))
        files = "".join(f" --plugin {shlex.quote(file)}" for file in result.spec.plugins)
        # what a readout says is not what the networks answer
        read = result.record["spec"].get("readout")
        predict = "" if read in METHODS else f"plastic predict {folder} FILE{files}, "
        print(
            f"next: {predict}plastic export {folder} --seed N --to "
            f"FILE{files}, plastic run --from {folder}{files}, plastic report {folder}"
        )
    if as_json:
        print_json(summary)
