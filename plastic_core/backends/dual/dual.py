r"""Dual numbers: tensors with their derivatives, which a rule computes with as with tensors.

.. math:: f(v + \dot v \varepsilon) = f(v) + f'(v)\, \dot v\, \varepsilon

One value carries P tangents. What rules compute most is differentiated here, in as few
operations as possible, for at one sample a step dispatch is what costs; everything else goes
through torch's forward-mode differentiation, which is slower by far and knows every function.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from plastic_core.api.update import Update


class Dual:
    """A tensor and its tangents; operators, methods and torch's functions take it for a tensor.

    Attributes:
        value: any shape.
        tangent: ``[P, *value.shape]``.
    """

    __slots__ = ("tangent", "value")

    def __init__(self, value: Tensor, tangent: Tensor) -> None:
        self.value, self.tangent = value, tangent

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return call(func, *args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        """Return an attribute or a method of the tensor, differentiated where it has to be."""
        found = getattr(torch.Tensor, name)
        if not callable(found):
            if name in ("mT", "T"):
                return call(lambda x: getattr(x, name), self)
            return getattr(self.value, name)
        return lambda *args, **kwargs: call(found, self, *args, **kwargs)

    def __neg__(self) -> Any:
        return call(torch.neg, self)

    def __abs__(self) -> Any:
        return call(torch.abs, self)

    def __len__(self) -> int:
        return len(self.value)

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Any:
        return call(lambda x: x[index], self)


def _operator(function: Callable[..., Any], swapped: bool = False) -> Callable[..., Any]:
    def operate(self: Dual, other: Any) -> Any:
        if isinstance(other, Update):
            return NotImplemented  # which knows what to do with a dense increment
        return call(function, other, self) if swapped else call(function, self, other)

    return operate


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Dual, f"__{_name}__", _operator(getattr(operator, _name)))
    setattr(Dual, f"__r{_name}__", _operator(getattr(operator, _name), swapped=True))
for _name in ("gt", "ge", "lt", "le", "eq", "ne"):
    setattr(Dual, f"__{_name}__", _operator(getattr(operator, _name)))


def value_and_tangent(x: Tensor | Dual, count: int) -> tuple[Tensor, Tensor]:
    """Return value and tangents; a constant has zeros, ``[count, *shape]``."""
    if isinstance(x, Dual):
        return x.value, x.tangent
    return x, x.new_zeros(count, *x.shape)


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a function of tensors gives for dual numbers."""
    known = _KNOWN.get(getattr(function, "__name__", ""))
    if known is not None and not kwargs and len(args) <= 2:
        result = known(*args)
        if result is not None:
            return result
    return _differentiated(function, args, kwargs)


def _add(a: Any, b: Any) -> Dual | None:
    if not _fit(a, b):
        return None
    if isinstance(a, Dual) and isinstance(b, Dual):
        return Dual(a.value + b.value, a.tangent + b.tangent)
    dual, other = (a, b) if isinstance(a, Dual) else (b, a)
    value = dual.value + other
    return Dual(value, _like(value, dual.tangent))


def _sub(a: Any, b: Any) -> Dual | None:
    if not _fit(a, b):
        return None
    if isinstance(a, Dual) and isinstance(b, Dual):
        return Dual(a.value - b.value, a.tangent - b.tangent)
    if isinstance(a, Dual):
        value = a.value - b
        return Dual(value, _like(value, a.tangent))
    value = a - b.value
    return Dual(value, _like(value, -b.tangent))


def _mul(a: Any, b: Any) -> Dual | None:
    if not _fit(a, b):
        return None
    if isinstance(a, Dual) and isinstance(b, Dual):
        tangent = torch.addcmul(a.tangent * b.value, b.tangent, a.value)
        return Dual(a.value * b.value, tangent)
    dual, other = (a, b) if isinstance(a, Dual) else (b, a)
    return Dual(dual.value * other, dual.tangent * other)


def _divide(a: Any, b: Any) -> Dual | None:
    if isinstance(b, Dual) or not _fit(a, b):
        return None
    return Dual(a.value / b, a.tangent / b)


def _fit(a: Any, b: Any) -> bool:
    """Return whether tangents broadcast as their values do."""
    tensors = [x.value if isinstance(x, Dual) else x for x in (a, b)]
    dims = [x.dim() for x in tensors if isinstance(x, Tensor)]
    return len(set(dims)) == 1


def _negated(a: Dual) -> Dual:
    return Dual(-a.value, -a.tangent)


def _square(a: Dual) -> Dual:
    return Dual(a.value.square(), 2 * a.value * a.tangent)


def _exp(a: Dual) -> Dual:
    value = a.value.exp()
    return Dual(value, value * a.tangent)


def _sqrt(a: Dual) -> Dual:
    value = a.value.sqrt()
    # what stays 0 changes by 0, as the mean square of increments that never came
    return Dual(value, torch.where(a.tangent == 0, 0.0, a.tangent * 0.5 / value))


def _tanh(a: Dual) -> Dual:
    value = a.value.tanh()
    return Dual(value, a.tangent * (1 - value * value))


def _sigmoid(a: Dual) -> Dual:
    value = a.value.sigmoid()
    return Dual(value, a.tangent * (value * (1 - value)))


def _softmax(a: Dual, dim: int) -> Dual:
    value = torch.softmax(a.value, dim)
    # dy = y (dz - y'dz)
    change = value * a.tangent
    along = dim if dim < 0 else dim + 1
    return Dual(value, change - value * change.sum(along, keepdim=True))


# By the name of torch's function and of the tensor's method; None where it is not for them.
_KNOWN: Final[dict[str, Callable[..., Dual | None]]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "multiply": _mul,
    "true_divide": _divide,
    "truediv": _divide,
    "div": _divide,
    "neg": _negated,
    "negative": _negated,
    "square": _square,
    "rsub": lambda a, b: _sub(b, a),
    "exp": _exp,
    "sqrt": _sqrt,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}


def _differentiated(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Return value and tangents by torch's own differentiation, one tangent after the other."""
    duals: list[Dual] = []

    def take(x: Any) -> Any:
        if isinstance(x, Dual):
            duals.append(x)
            return _Place(len(duals) - 1)
        if isinstance(x, list | tuple):
            return type(x)(take(one) for one in x)
        return x

    places, named = take(args), {name: take(x) for name, x in kwargs.items()}

    def pure(*values: Tensor) -> Any:
        def fill(x: Any) -> Any:
            if isinstance(x, _Place):
                return values[x]
            return type(x)(fill(one) for one in x) if isinstance(x, list | tuple) else x

        return function(*fill(places), **{name: fill(x) for name, x in named.items()})

    values = tuple(dual.value for dual in duals)
    result = pure(*values)
    if isinstance(result, tuple):  # such as values and indices
        return type(result)(_one_of(function, i, args, kwargs) for i in range(len(result)))
    if isinstance(result, int):  # a size, or a place
        return result
    if not isinstance(result, Tensor):
        raise TypeError(f"{function} gives {type(result).__name__}, which has no derivative here")
    if not (duals and result.is_floating_point()):
        return result
    tangents = []
    for each in zip(*(dual.tangent for dual in duals), strict=True):
        shaped = tuple(t.expand_as(v) for t, v in zip(each, values, strict=True))
        tangents.append(torch.func.jvp(pure, values, shaped)[1])
    return Dual(result, torch.stack(tangents))


def _one_of(function: Callable[..., Any], place: int, args: Any, kwargs: Any) -> Any:
    return _differentiated(lambda *a, **k: function(*a, **k)[place], args, kwargs)


class _Place(int):
    """The place of a dual number among the arguments of a function."""


def _like(value: Tensor, tangent: Tensor) -> Tensor:
    """Return a tangent in the shape that broadcasting gave the value."""
    return tangent if tangent.shape[1:] == value.shape else tangent.expand(-1, *value.shape)
