"""``plastic run``: train the networks of a spec and show their learning curve."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

from cyclopts import App, Parameter
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from plastic_core.catalogue import Catalogue
from plastic_core.errors import PlasticError
from plastic_core.specs import RunSpec, read_spec_file

if TYPE_CHECKING:
    from plastic_core.running import RunResult

# Fields of a RunSpec that are written otherwise on the command line.
_COLLECTED = {"options", "settings", "transforms", "plugins"}


def make_app(arguments: Sequence[str] | None) -> App:
    """Return the command, with the options of the task that `arguments` ask for as flags.

    None, where another command was asked for, looks no task up.
    """
    app = App(name="run", help="Train networks by a rule and show their learning curve.")
    options: type[BaseModel] | None = None
    if arguments is not None:
        options = _task_options(arguments)
    spec_flags = _flags("RunFlags", RunSpec, skip=_COLLECTED)
    task_flags = _flags("TaskFlags", options) if options else _flags("TaskFlags", BaseModel)

    @app.default
    def run(
        source: Annotated[str | None, Parameter(show_default=False)] = None,
        *,
        spec: Annotated[Any, Parameter(name="*")] = None,
        task_options: Annotated[Any, Parameter(name="*", group="Options of the task")] = None,
        set_: Annotated[
            list[str] | None, Parameter(name="--set", negative=(), allow_leading_hyphen=False)
        ] = None,
        transform: Annotated[list[str] | None, Parameter(negative=())] = None,
        plugin: Annotated[list[str] | None, Parameter(negative=())] = None,
        out: str | None = None,
        resume: Annotated[bool, Parameter(negative=())] = False,
        json: Annotated[bool, Parameter(negative=())] = False,
        data_dir: str | None = None,
        threads: int | None = None,
        save_weights: Annotated[bool, Parameter(negative=())] = False,
    ) -> None:
        """Train networks by a rule and show their learning curve.

        Args:
            source: a spec (.toml, .json), or the run.json of a run to repeat.
            spec: the fields of the spec.
            task_options: the options of the task.
            set_: RULE.NAME=VALUE, such as oja.theta=1e-4 or oja.layers=1-4; may be repeated.
            transform: name of a transform of the summed update; may be repeated.
            plugin: file with an unpackaged plugin; may be repeated.
            out: the run folder; default ./runs/TIME-TASK-RULE.
            resume: continue the run that --out holds.
            json: print one JSON object on standard output, everything else on standard error.
            data_dir: data folder, in place of PLASTIC_DATA_DIR; several as in PATH.
            threads: networks trained at once, and threads of torch; default all cores.
            save_weights: also write weights.safetensors.
        """
        given, chosen = _given(spec), _given(task_options)
        changed = bool(chosen or {"rule", "task"} & given.keys())
        fields = read_spec_file(Path(source), asked=changed) if source else {}
        fields |= given
        _merge(fields, "options", {name: _option(options, name, v) for name, v in chosen.items()})
        for name, settings in _settings(set_ or []).items():
            fields["settings"] = dict(fields.get("settings", {}))
            _merge(fields["settings"], name, settings)
        if transform:
            fields["transforms"] = transform
        if plugin:
            fields["plugins"] = plugin
        _run(RunSpec(**fields), out, resume, json, data_dir, threads, save_weights)

    run.__annotations__["spec"] = Annotated[spec_flags | None, Parameter(name="*")]
    run.__annotations__["task_options"] = Annotated[
        task_flags | None, Parameter(name="*", group="Options of the task")
    ]
    return app


def _run(
    spec: RunSpec,
    out: str | None,
    resume: bool,
    as_json: bool,
    data_dir: str | None,
    threads: int | None,
    save_weights: bool,
) -> None:
    from plastic_core.cli.progress import RunView
    from plastic_core.plan import make_plan

    if resume and out is None:
        raise PlasticError("--resume needs --out DIR, the folder of the run to continue")
    make_plan(spec, Catalogue(spec.plugins))  # mistakes show before torch is loaded
    from plastic_core.record import default_folder
    from plastic_core.running import run

    # what a plugin prints must not mix with the one JSON object
    aside = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with aside, RunView(spec) as view:
        result = run(
            spec,
            out=default_folder(spec) if out is None else out,
            resume=resume,
            data_dir=data_dir,
            threads=threads,
            save_weights=save_weights,
            on_plan=view.begin,
            on_point=view.show_point,
        )
    _report(result, as_json)


def _report(result: RunResult, as_json: bool) -> None:
    from rich.console import Console

    from plastic_core.cli.output import print_json, print_table

    summary = result.summary
    accuracy = summary["accuracy"]
    console = Console(stderr=as_json)
    print_table(
        ("rule", "accuracy %", "low", "high", "seeds", "diverged", "updates/s", "seconds"),
        [
            (
                summary["rule"],
                *(f"{100 * accuracy[key]:.2f}" for key in ("mean", "low", "high")),
                summary["seeds"],
                len(summary["diverged"]),
                f"{summary['updates_per_second']:,.0f}",
                f"{summary['seconds']:.1f}",
            )
        ],
        console,
    )
    lines = [
        f"low, high: 98% bootstrap interval of the mean over {summary['seeds']} seeds, "
        "500 resamples"
    ]
    if summary["diverged"]:
        where = ", ".join(f"seed {d['seed']} at sample {d['sample']}" for d in summary["diverged"])
        lines.append(f"diverged, counted at chance level: {where}")
    lines += [f"note: {note}" for note in summary["notes"]]
    lines.append(f"written to {summary['run_dir']}")
    for line in lines:
        print(line, file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print_json(summary)


def _task_options(arguments: Sequence[str]) -> type[BaseModel]:
    """Return the option model of the task that the arguments, or their spec file, ask for."""
    files = [a for a in arguments if a.endswith((".toml", ".json")) and not a.startswith("-")][:1]
    spec = RunSpec.from_file(Path(files[0])) if files else RunSpec()
    task, plugins = spec.task, list(spec.plugins)
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, attached = flag.partition("=")
        if name == "--task":
            task = attached if equals else value
        elif name == "--plugin":
            plugins.append(attached if equals else value)
    entry = Catalogue(plugins).find("task", task)
    assert entry.plugin is not None
    options: type[BaseModel] = entry.plugin.spec.options
    return options


def _flags(name: str, model: type[BaseModel], skip: Collection[str] = ()) -> type[Any]:
    """Return a dataclass with a flag for each field of `model`, all None until given.

    Values stay text: the model itself converts and checks them, so that there is one set of
    messages for files, Python and the command line.
    """
    fields = []
    for field, info in model.model_fields.items():
        if field in skip:
            continue
        kind: Any = bool if info.annotation is bool else str
        parameter = Parameter(
            help=_help(info), metavar=_metavar(info), allow_leading_hyphen=kind is str, negative=()
        )
        fields.append((field, Annotated[kind | None, parameter], dataclasses.field(default=None)))
    flags = dataclasses.make_dataclass(name, fields)
    flags.__module__ = __name__  # cyclopts looks for the fields of a class where it is defined
    return flags


def _help(info: FieldInfo) -> str:
    text = info.description or ""
    if info.default in (None, PydanticUndefined) or info.annotation is bool:
        return text
    return f"{text} [default: {info.default}]"


def _metavar(info: FieldInfo) -> str:
    choices = [c for kind in (info.annotation, *get_args(info.annotation)) for c in get_args(kind)]
    if choices and all(isinstance(c, str | int) for c in choices):
        return "|".join(map(str, choices))
    kinds: dict[Any, str] = {int: "INT", float: "FLOAT", bool: ""}
    return kinds.get(info.annotation, "TEXT")


def _given(flags: Any) -> dict[str, Any]:
    if flags is None:
        return {}
    return {name: value for name, value in dataclasses.asdict(flags).items() if value is not None}


def _merge(fields: dict[str, Any], name: str, values: dict[str, Any]) -> None:
    if values:
        fields[name] = {**fields.get(name, {}), **values}


def _settings(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        owner, dot, name = key.rpartition(".")
        if not (equals and dot and owner and name):
            raise PlasticError(f"--set {text}: expected RULE.NAME=VALUE, such as oja.theta=1e-4")
        settings.setdefault(owner, {})[name] = _scalar(value)
    return settings


def _option(options: type[BaseModel] | None, name: str, value: Any) -> Any:
    """Return the value of a task's option, a number only where the option may be one."""
    assert options is not None
    return value if options.model_fields[name].annotation is str else _scalar(value)


def _scalar(value: Any) -> Any:
    """Return a number or truth value where the text is one, else the text."""
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if isinstance(parsed, bool | int | float) else value
