"""Native training that carries the tangents of all matrices; see `backends.dual.tangent_step`."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from plastic_core.backends.native.c_activation import emit_activations
from plastic_core.backends.native.c_tangents import emit_tangents
from plastic_core.backends.native.derivatives import Differentiator
from plastic_core.backends.native.native_backend import NativeBackend
from plastic_core.backends.native.program import NotNativeError, Program, Values
from plastic_core.backends.native.step_table import StepTable


class NativeTangents(NativeBackend):
    """The native backend, which also carries tangents; made as `NativeBackend` is."""

    _ahead = False  # for the products of tangents are not known

    def carry(self, tangents: Mapping[str, Tensor]) -> None:
        """Take up the tangents, before anything is trained.

        Args:
            tangents: by name of the parameter, ``[R, P, ...]``, contiguous, one of the P for each
                theta; changed in place.

        Raises:
            NotNativeError: a rule has a theta and no increment that it multiplies.
        """
        job = self._job
        job.directions = len(self.code.program.thetas)
        if tangents["weight.1"].shape[1] != job.directions:
            raise NotNativeError("a rule learns nothing of its own (plastic_local_update)")
        weights, feedback = (
            [value for name, value in tangents.items() if name.startswith(kinds)]
            for kinds in (("weight.", "bias."), "feedback.")
        )
        self._kept += weights + feedback
        job.weight_tangents = self._pointers(weights)
        job.feedback_tangents = self._pointers(feedback)

    def _emit(self, program: Program, table: StepTable, dtype: torch.dtype) -> str:
        if program.passes > 1:
            raise NotNativeError("several passes in an update are not differentiated in C")
        if program.transformed:
            raise NotNativeError(
                "transforms, and matrices element by element, are not differentiated in C"
            )
        if any(table.masked):
            raise NotNativeError("masks, which leave connections out, are not differentiated in C")
        if any(table.shared):
            raise NotNativeError("shared weights are not differentiated in C")
        values = Values()
        values.constants = program.constants  # those of derivatives are added to them
        derive = Differentiator(values)
        kinds = [derive.kind(kind) for kind in program.kinds]
        activations = emit_activations(table.activations, dtype, tangents=True)
        return emit_tangents(program, kinds, activations, dtype == torch.float64)
