"""The base of all specifications, and what it says of a fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
)

from plastic_core.base.errors import PlasticError, brief, did_you_mean, listing
from plastic_core.base.html import element, table


class SpecError(PlasticError):
    """A specification that does not validate; names field, value and what is accepted.

    Attributes:
        faults: the message without the name of the specification.
    """

    def __init__(self, name: str, faults: str) -> None:
        super().__init__(f"{name}{faults}")
        self.faults = faults


#: Marks a field that came after results were kept: ``Field(default, json_schema_extra=LATER)``.
#: It is written only where it differs from its default, so that the keys of those results stay.
LATER: Final[dict[str, Any]] = {"later": True}


def _as_lists(value: Any) -> Any:
    """Return plain values with lists in place of tuples."""
    if isinstance(value, dict):
        return {name: _as_lists(one) for name, one in value.items()}
    return [_as_lists(one) for one in value] if isinstance(value, list | tuple) else value


#: Values by name, as JSON can hold them.
Plain = Annotated[dict[str, JsonValue], BeforeValidator(_as_lists)]


class Spec(BaseModel):
    """Base of all specifications: frozen, unknown fields forbidden, errors that help.

    Raises:
        SpecError: naming each field at fault, its value, what is accepted and the nearest name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise SpecError(type(self).__name__, describe_faults(error, type(self))) from None

    def _repr_html_(self) -> str:
        """Return the fields as a table, for notebooks."""
        rows = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            of_set = isinstance(value, frozenset)
            rows.append((name, ", ".join(sorted(map(str, value))) if of_set else value))
        return element("p", type(self).__name__) + table((), rows)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse True and False where a number is wanted, which would pass for 1 and 0."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        wanted = {*_types_in(annotation)}
        if bool not in wanted and wanted & {int, float}:
            for one in value if isinstance(value, list | tuple) else (value,):
                if isinstance(one, bool):
                    raise ValueError("expected a number, not a truth value")
        return value

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if field.json_schema_extra == LATER and getattr(self, name) == field.default:
                written.pop(name, None)
        return written


def _types_in(annotation: Any) -> Iterator[Any]:
    yield annotation
    for part in get_args(annotation):
        yield from _types_in(part)


def describe_faults(error: ValidationError, model: type[BaseModel]) -> str:
    """Return ``": <fault>"``, or a line for each of several.

    A fault is the field, its value, what is accepted and the nearest name.
    """
    faults = []
    for fault in error.errors(include_url=False):
        path = ".".join(str(part) for part in fault["loc"])
        value, kind, context = fault["input"], fault["type"], fault.get("ctx", {})
        if kind == "missing":
            faults.append(f"{path}: is required and missing")
        elif kind == "extra_forbidden":
            known = model.model_fields
            name = str(fault["loc"][-1])
            faults.append(
                f"{path} = {brief(value)}: there is no field '{name}'"
                f"{did_you_mean(name, known) or '.'} The fields are {listing(known)}"
            )
        elif kind == "literal_error":
            names = [
                word.strip("' ") for word in context["expected"].replace(" or ", ",").split(",")
            ]
            near = did_you_mean(value, names) if isinstance(value, str) else ""
            faults.append(f"{path} = {brief(value)}: accepted are {context['expected']}{near}")
        elif kind == "value_error" and isinstance(context["error"], SpecError):
            # of a specification within this one
            own = context["error"].faults.removeprefix(": ").splitlines()
            faults += [f"{path}: {one.strip()}" for one in (own[1:] or own)]
        elif kind == "value_error":
            where = f"{path} = {brief(value)}: " if path else ""
            faults.append(f"{where}{context['error']}")
        else:
            faults.append(f"{path} = {brief(value)}: {fault['msg'][0].lower()}{fault['msg'][1:]}")
    if len(faults) == 1:
        return f": {faults[0]}"
    return f" has {len(faults)} faults:\n" + "\n".join(f"  {f}" for f in faults)
