"""Batch normalisation: the one arm of a figure that autograd trains, in plain PyTorch.

A batch's means are no signal of a single projection, so that the engine has no batch
normalisation. Everything else is that of the engine's arms: seeds, initial weights, order and
size of the batches, points of evaluation, and the form of the results.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from plastic_core.api.network_spec import NetworkSpec
from plastic_core.api.plugin import Dataset
from plastic_core.base.errors import PlasticError
from plastic_core.experiments.sweeping.arms import Arm
from plastic_core.experiments.sweeping.sweep import ArmResult, Progress
from plastic_core.networks.initialisation import initial_weights
from plastic_core.plan.plan import Plan, Replica
from plastic_core.plugins.catalogue import installed
from plastic_core.results.cell import Cell, cell_of, key_of
from plastic_core.results.curves import evaluation_steps
from plastic_core.results.store import CellResult, Store
from plastic_core.training.datasets import held_out_half, training_order
from plastic_core.training.task_data import data_of

# Results of another version of this file are not these.
_VERSION: Final = sha256(Path(__file__).read_bytes()).hexdigest()[:12]


class BatchNormNetwork(nn.Module):
    r"""The network of `spec`, :math:`y_l = \sigma(\mathrm{BN}(W_l y_{l-1}))`.

    Ioffe and Szegedy 2015, arXiv:1502.03167, as PyTorch has it: with gain and bias, and running
    statistics in evaluation.
    """

    def __init__(self, spec: NetworkSpec, seed: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weights = nn.ParameterList(w.to(dtype) for w in initial_weights(spec, seed))
        self.norms = nn.ModuleList(nn.BatchNorm1d(n, dtype=dtype) for n in spec.sizes[1:-1])
        self._apply_activation = installed("activation", spec.activation)().apply

    def forward(self, x: Tensor) -> Tensor:
        """Return z_L, ``[K, n_L]``, for inputs ``[K, n_0]``."""
        for weight, norm in zip(self.weights, self.norms, strict=False):
            x = self._apply_activation(norm(x @ weight.mT))
        last: Tensor = self.weights[-1]
        return x @ last.mT


def check_batches(arms: Sequence[Arm]) -> None:
    """Refuse batches that have no variance.

    Raises:
        PlasticError: a batch would hold a single point.
    """
    for spec in (arm.plan.spec for arm in arms):
        if 1 in (spec.batch_size, spec.samples % spec.batch_size):
            raise PlasticError(
                f"{spec.samples} training points in batches of {spec.batch_size}: batch "
                "normalisation needs two points in each batch; give another number of samples"
            )


def train_batch_norm(
    arms: Sequence[Arm], store: Store, progress: Progress, data_dir: str | None
) -> list[ArmResult]:
    """Train what the store lacks of these arms; theta of bp is the learning rate.

    Args:
        arms: their rule is bp.
        store: read first, and added to.
        progress: counted up.
        data_dir: data folder in place of PLASTIC_DATA_DIR.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # fastest for small networks
    try:
        return [_train_arm(arm, store, progress, data_dir) for arm in arms]
    finally:
        torch.set_num_threads(before)


def _train_arm(arm: Arm, store: Store, progress: Progress, data_dir: str | None) -> ArmResult:
    spec = arm.plan.spec
    data, digest = data_of(arm.plan, data_dir)
    made = ArmResult(arm, {})
    for seed in spec.seed_list:
        content = cell_of(arm.plan, Replica(seed, arm.thetas), digest).content
        content = {**content, "batch_norm": _VERSION}
        cell = made.cells[seed] = Cell(key_of(content), content)
        result = store.find(cell)
        progress.total += 1
        if result is None:
            result = _train_network(arm.plan, arm.thetas["bp"], seed, data)
            store.add(cell, result)
            progress.trained += 1
        else:
            progress.found += 1
        progress.diverged += result.diverged_at >= 0
        made.results[seed] = result
    return made


def _train_network(plan: Plan, rate: float, seed: int, data: Dataset) -> CellResult:
    spec, dtype = plan.spec, getattr(torch, plan.spec.dtype)
    assert isinstance(plan.network, NetworkSpec)
    network = BatchNormNetwork(plan.network, seed, dtype)
    optimiser = torch.optim.SGD(network.parameters(), rate)
    inputs, labels = torch.from_numpy(data.inputs).to(dtype), torch.from_numpy(data.labels)
    held_out = held_out_half(data, spec.eval_half, spec.eval_samples)
    held_out_inputs, held_out_labels = map(torch.from_numpy, held_out)
    order = torch.from_numpy(training_order(seed, len(labels), spec.samples))
    steps = evaluation_steps(spec.samples, spec.evaluations, spec.batch_size).tolist()
    accuracy: list[float] = []
    losses: list[float | None] = []
    diverged_at, seconds, start = -1, 0.0, 0
    for stop in steps:
        begun = time.perf_counter()
        network.train()
        for batch in torch.split(order[start:stop], spec.batch_size):
            loss = nn.functional.cross_entropy(network(inputs[batch]), labels[batch])
            if diverged_at < 0 and not loss.isfinite():
                diverged_at = start
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
        seconds += time.perf_counter() - begun
        start = stop
        network.eval()
        with torch.no_grad():
            outputs = network(held_out_inputs.to(dtype))
        right = (outputs.argmax(-1) == held_out_labels).double().mean().item()
        held_out_loss = nn.functional.cross_entropy(outputs, held_out_labels).item()
        accuracy.append(right if diverged_at < 0 else 1 / data.classes)
        losses.append(held_out_loss if diverged_at < 0 else None)
    return CellResult(
        steps=tuple(steps),
        accuracy=tuple(accuracy),
        loss=tuple(losses),
        diverged_at=diverged_at,
        backend="autograd",
        seconds=seconds,
    )
