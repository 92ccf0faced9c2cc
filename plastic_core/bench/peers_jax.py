"""Online BP+Oja as a user of JAX writes it: one step, compiled over all samples by lax.scan.

W'[error, post] is one product, and the increments are outer products that XLA fuses into one
pass over W: of the forms that we tried, the fastest on a CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from plastic_core.bench.case import BP, OJA, Case

_BETA: Final = 10.0

# Samples of one network before the next one has its turn, replica-major.
_CHUNK: Final = 50


def installed() -> bool:
    """Return whether JAX is there; set it to one thread before it is first loaded."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    one_thread = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ.setdefault("XLA_FLAGS", one_thread)
    return find_spec("jax") is not None


def _step(weights: Any, point: Any) -> Any:
    import jax
    import jax.numpy as jnp

    x, target = point
    ys = [x]
    for weight in weights[:-1]:
        ys.append(jax.nn.softplus(_BETA * (weight @ ys[-1])) / _BETA)
    ys.append(jax.nn.softmax(weights[-1] @ ys[-1]))
    error, new = ys[-1] - target, []
    for layer in reversed(range(len(weights))):
        weight, pre, post = weights[layer], ys[layer], ys[layer + 1]
        if layer:
            back, recon = jnp.stack([error, post]) @ weight
        else:
            recon = post @ weight
        change = OJA * post[:, None] * (pre - recon)[None] - BP * error[:, None] * pre[None]
        new.append(weight + change)
        if layer:
            error = back * (1 - jnp.exp(-_BETA * pre))
    return tuple(reversed(new)), None


def _arrays(case: Case) -> tuple[Any, Any]:
    import jax.numpy as jnp

    return jnp.asarray(case.inputs.numpy()), jnp.asarray(case.targets.numpy())


def _finished(value: Any) -> Any:
    """Return `value` when JAX has computed it."""
    import jax

    ready: Any = jax.block_until_ready
    return ready(value)


def _tensors(weights: Any) -> list[Tensor]:
    return [torch.from_numpy(np.array(w)) for w in weights]


def scan(case: Case) -> Callable[[int], list[Tensor]]:
    """Return a function that trains one network for some updates and returns the weights."""
    import jax
    import jax.numpy as jnp

    inputs, targets = _arrays(case)

    @partial(jax.jit, donate_argnums=0)
    def run(weights: Any, points: Any) -> Any:
        return jax.lax.scan(_step, weights, (inputs[points], targets[points]))[0]

    state = [tuple(jnp.asarray(w.numpy()) for w in case.weights())]

    def train(updates: int) -> list[Tensor]:
        points = jnp.asarray(case.order(updates)[0].numpy())
        state[0] = _finished(run(state[0], points))
        return _tensors(state[0])

    return train


def replica_major(case: Case) -> Callable[[int], list[Tensor]]:
    """Train several networks, one after the other over a chunk of samples each."""
    import jax
    import jax.numpy as jnp

    inputs, targets = _arrays(case)

    @partial(jax.jit, donate_argnums=0)
    def run(weights: Any, points: Any) -> Any:
        return jax.lax.scan(_step, weights, (inputs[points], targets[points]))[0]

    networks = [tuple(jnp.asarray(w.numpy()) for w in case.weights()) for _ in range(case.replicas)]

    def train(updates: int) -> list[Tensor]:
        order = jnp.asarray(case.order(updates).numpy())
        for start in range(0, updates, _CHUNK):
            for replica in range(case.replicas):
                points = order[replica, start : start + _CHUNK]
                networks[replica] = run(networks[replica], points)
        _finished(networks)
        return _tensors(networks[0])

    return train


def vmap(case: Case) -> Callable[[int], list[Tensor]]:
    """Train several networks side by side."""
    import jax
    import jax.numpy as jnp

    inputs, targets = _arrays(case)
    several = jax.vmap(_step)

    @partial(jax.jit, donate_argnums=0)
    def run(weights: Any, points: Any) -> Any:
        return jax.lax.scan(several, weights, (inputs[points], targets[points]))[0]

    copies = case.replicas
    state = [tuple(jnp.stack([jnp.asarray(w.numpy())] * copies) for w in case.weights())]

    def train(updates: int) -> list[Tensor]:
        points = jnp.asarray(case.order(updates).numpy()).T
        state[0] = _finished(run(state[0], points))
        return _tensors(w[0] for w in state[0])

    return train
