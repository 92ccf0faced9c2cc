"""The fields of a RunSpec, and the options of a task, as flags of a command."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from cyclopts import Parameter
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import expanded
from plastic_core.experiments.meta.meta_spec import MetaSpec
from plastic_core.plan.parent import RUN_FILE
from plastic_core.plan.run_spec import RunSpec
from plastic_core.plan.spec_file import read_spec_file
from plastic_core.plan.stage import read_stage
from plastic_core.plugins.catalogue import Catalogue

# Fields of a RunSpec that are written otherwise on the command line.
COLLECTED = {"options", "settings", "transforms", "probes", "plugins"}

# Fields whose flag is a word that Python keeps for itself.
_FLAGS = {"parent": "--from", "stages": "--stage"}


def attach(
    command: Callable[..., Any],
    options: type[BaseModel] | None,
    skip: Collection[str],
    model: type[BaseModel] = RunSpec,
) -> None:
    """Let the parameters `spec` and `task_options` of a command be flags, by their fields.

    Args:
        command: the function; cyclopts reads its annotations when it is called.
        options: the options of the task; None for none.
        skip: fields of the spec that are no flags of this command.
        model: the spec.
    """
    spec_flags = flags("SpecFlags", model, skip)
    task_flags = flags("TaskFlags", options or BaseModel)
    command.__annotations__["spec"] = Annotated[spec_flags | None, Parameter(name="*")]
    command.__annotations__["task_options"] = Annotated[
        task_flags | None, Parameter(name="*", group="Options of the task")
    ]


def task_options(
    arguments: Sequence[str], model: type[RunSpec] | type[MetaSpec] = RunSpec
) -> type[BaseModel]:
    """Return the option model of the task that the arguments, or their spec file, ask for."""
    files = [a for a in arguments if a.endswith((".toml", ".json")) and not a.startswith("-")][:1]
    given: dict[str, list[str]] = {"--task": [], "--plugin": [], "--from": [], "--data": []}
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, attached = flag.partition("=")
        if name in given:
            given[name].append(attached if equals else value)
    plugins = given["--plugin"]
    files = files or [str(expanded(folder) / RUN_FILE) for folder in given["--from"][-1:]]
    if given["--task"]:
        task = given["--task"][-1]
    else:
        fields = read_spec_file(Path(files[0]), plugins) if files else {}
        if given["--data"]:
            fields["data"] = given["--data"][-1]
        task = (RunSpec(**fields) if fields else model()).task
    entry = Catalogue(plugins).find("task", task)
    assert entry.plugin is not None
    options: type[BaseModel] = entry.plugin.spec.options
    return options


def flags(name: str, model: type[BaseModel], skip: Collection[str] = ()) -> type[Any]:
    """Return a dataclass with a flag for each field of `model`, all None until given.

    Values stay text: the model itself converts and checks them, so that there is one set of
    messages for files, Python and the command line.
    """
    fields = []
    for field, info in model.model_fields.items():
        if field in skip:
            continue
        kind: Any = bool if info.annotation is bool else str
        if get_origin(info.annotation) is tuple:  # may be repeated
            kind = list[str]
        parameter = Parameter(
            name=_FLAGS.get(field),
            help=_help(info),
            metavar=_metavar(info),
            allow_leading_hyphen=kind is not bool,
            negative=(),
        )
        fields.append((field, Annotated[kind | None, parameter], dataclasses.field(default=None)))
    flags = dataclasses.make_dataclass(name, fields)
    flags.__module__ = __name__  # cyclopts looks for the fields of a class where it is defined
    return flags


def _help(info: FieldInfo) -> str:
    text = info.description or ""
    if info.default in (None, PydanticUndefined, "", ()) or info.annotation is bool:
        return text
    return f"{text} [default: {info.default}]"


def _metavar(info: FieldInfo) -> str:
    choices = [c for kind in (info.annotation, *get_args(info.annotation)) for c in get_args(kind)]
    if choices and all(isinstance(c, str | int) for c in choices):
        return "|".join(map(str, choices))
    kinds: dict[Any, str] = {int: "INT", float: "FLOAT", bool: ""}
    return kinds.get(info.annotation, "TEXT")


def given_of(flags: Any) -> dict[str, Any]:
    """Return the flags that were given, by field."""
    if flags is None:
        return {}
    found = {name: value for name, value in dataclasses.asdict(flags).items() if value is not None}
    joined = ("target",)  # names that may stand in one text too
    return {k: ",".join(v) if k in joined else v for k, v in found.items()}


def overridden(fields: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a file with those that were given in their place.

    New stages take the place of the points of before, and of the rule where each has its own; a new
    rule takes the place of stages.
    """
    kept = dict(fields)
    if "stages" in given:
        kept.pop("samples", None)
        with contextlib.suppress(ValueError):  # said where the spec is made
            if all(read_stage(one)["rule"] for one in given["stages"]):
                kept.pop("rule", None)
    elif "rule" in given and kept.pop("stages", None):
        kept.pop("samples", None)
    return kept | given


def merge(fields: dict[str, Any], name: str, values: dict[str, Any]) -> None:
    """Add `values` to the mapping that is the field `name`."""
    if values:
        fields[name] = {**fields.get(name, {}), **values}


def settings_of(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return settings by rule from texts such as oja.theta=1e-4 or oja.theta.conv1=1e-5.

    Raises:
        PlasticError: one is not of that form.
    """
    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        owner, dot, name = key.rpartition(".")
        if ".theta." in key:  # that of one layer
            owner, dot, layer = key.partition(".theta.")
            name = f"theta.{layer}"
        if not (equals and dot and owner and name):
            raise PlasticError(f"--set {text}: expected RULE.NAME=VALUE, such as oja.theta=1e-4")
        own = settings.setdefault(owner, {})
        if own.setdefault(name, _scalar(value)) != _scalar(value):
            raise PlasticError(f"--set {key}: is given twice, with two values; keep one")
    return settings


def option_of(options: type[BaseModel] | None, name: str, value: Any) -> Any:
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


def assemble(
    fields: dict[str, Any],
    options: type[BaseModel] | None,
    chosen: dict[str, Any],
    settings: Sequence[str] | None,
    transforms: list[str] | None,
    probes: list[str] | None,
    plugins: list[str] | None,
) -> RunSpec:
    """Return the spec of `fields` and of what is written otherwise on the command line.

    Raises:
        PlasticError: a setting is malformed, or the spec is not accepted.
    """
    merge(fields, "options", {name: option_of(options, name, v) for name, v in chosen.items()})
    for name, values in settings_of(settings or []).items():
        fields["settings"] = dict(fields.get("settings", {}))
        merge(fields["settings"], name, values)
    if transforms:
        fields["transforms"] = transforms
    if probes:
        fields["probes"] = probes
    if plugins:
        fields["plugins"] = plugins
    spec = RunSpec(**fields)
    if spec.data and spec.options.get("net"):
        # else layers would be planned for another shape of images, and perhaps not fit
        from plastic_core.training.task_data import Source

        spec = Source().with_image(spec, Catalogue(spec.plugins))
    return spec
