"""C from what was captured of a loss: the output, its error, and the tangents of both."""

from __future__ import annotations

from plastic_core.backends.native.derivatives import Differentiator
from plastic_core.backends.native.loss_capture import OutputValues
from plastic_core.backends.native.naming import Naming
from plastic_core.backends.native.program import LossProgram, Value

# dy = y (dz - y'dz)
_SOFTMAX_TANGENT = """\
    real mean = 0;
    for (long i = 0; i < n; i++) mean += output[i] * dz[i];
    SIMD for (long i = 0; i < padded(n); i++) doutput[i] = output[i] * (dz[i] - mean);
"""


def emit_loss(loss: LossProgram) -> str:
    """Return the functions that give the output of z_L, and the error of the output."""
    softmax = loss.output.operation == "softmax"
    body = "    softmax(z, output, n);\n" if softmax else _loop(loss.output, "output", "padded(n)")
    return f"""\
INLINE void loss_output(const network_t *net, const real *z, real *output, long n) {{
    (void)net;
{body}}}

INLINE void loss_error(const network_t *net, const real *output, const real *target, real *error,
                       long n) {{
    (void)net;
{_loop(loss.error, "error", "n")}}}
"""


def emit_loss_tangents(loss: LossProgram, constants: list[float]) -> str:
    """Return the functions that give the tangents of output and error.

    Args:
        loss: what it computes.
        constants: numbers of the program, which are added to.

    Raises:
        NotNativeError: something of it has no derivative here.
    """
    values = OutputValues()
    values.constants = constants
    derive = Differentiator(values, still={"target"})
    if loss.output.operation == "softmax":
        body = _SOFTMAX_TANGENT
    else:
        body = _loop(derive.of(loss.output), "doutput", "padded(n)")
    return f"""\
INLINE void loss_output_tangent(const network_t *net, const real *z, const real *output,
                                const real *dz, real *doutput, long n) {{
    (void)net, (void)z, (void)output;
{body}}}

INLINE void loss_error_tangent(const network_t *net, const real *output, const real *target,
                               const real *doutput, real *derror, long n) {{
    (void)net, (void)output, (void)target;
{_loop(derive.of(loss.error), "derror", "n")}}}
"""


def _loop(value: Value | None, result: str, count: str) -> str:
    unit = _Unit()
    text = "0" if value is None else unit.text(value)
    simd = "SIMD " if count == "padded(n)" else ""
    lines = [*unit.lines, f"{result}[i] = {text};"]
    inside = "".join(f"        {line}\n" for line in lines)
    return f"    {simd}for (long i = 0; i < {count}; i++) {{\n{inside}    }}\n"


class _Unit(Naming):
    """What is computed for one unit of the output."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def _scope(self, value: Value) -> list[str]:
        return self.lines

    def _leaf(self, value: Value) -> str | None:
        leaves = {"signal": "{}[i]", "tangent": "d{}[i]", "number": "net->constant[{}]"}
        leaf = leaves.get(value.operation)
        return None if leaf is None else leaf.format(*value.arguments)
