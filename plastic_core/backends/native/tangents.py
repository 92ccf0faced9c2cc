"""Native training that carries the tangents of all matrices; see `plastic_core.meta.tangents`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from plastic_core.backends.native.backend import NativeBackend, NativeCode
from plastic_core.backends.native.differentiate import Differentiator
from plastic_core.backends.native.emit_tangents import emit_tangents
from plastic_core.backends.native.program import Program, Values
from plastic_core.build import Hooks
from plastic_core.network_specs import AnyNetwork, NetworkSpec
from plastic_core.networks.activations import BETA
from plastic_core.parameters import Parameters


class NativeTangents(NativeBackend):
    """The native backend, which also carries tangents.

    Args:
        tangents: by name of the parameter, ``[R, P, ...]``, contiguous; changed in place.
        others: as `NativeBackend`; P is the number of thetas.

    Raises:
        NotNativeError: the rules do something that C is not generated for.
        CompilerError: there is no compiler, or it failed.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        hooks: Hooks,
        thetas: dict[str, Tensor],
        parameters: Parameters,
        inputs: Tensor,
        targets: Tensor,
        batch_size: int,
        tangents: Mapping[str, Tensor],
        threads: int = 1,
        flags: Sequence[str] = (),
        code: NativeCode | None = None,
    ) -> None:
        super().__init__(
            spec, hooks, thetas, parameters, inputs, targets, batch_size, threads, flags, code
        )
        layers = range(1, spec.depth + 1)
        job = self._job
        job.directions = len(thetas)
        job.weight_tangents = self._pointers([tangents[f"weight.{i}"] for i in layers])
        if parameters.feedback:
            job.feedback_tangents = self._pointers([tangents[f"feedback.{i}"] for i in layers])

    def _emit(self, program: Program, spec: AnyNetwork, parameters: Parameters) -> str:
        values = Values()
        values.constants = program.constants  # those of derivatives are added to them
        derive = Differentiator(values)
        kinds = [derive.kind(kind) for kind in program.kinds]
        double = parameters.weights[0].dtype == torch.float64
        return emit_tangents(program, kinds, spec.activation, BETA, double)

    @property
    def _entry(self) -> Any:
        return self.code.library.plastic_train_tangents
