"""The generated code under the address and undefined-behaviour sanitizers, in its own process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# compiling is what takes its time
FLAGS = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

PROGRAM = f"""
from plastic_core.backends.native.native_backend import NativeBackend
from tests.backends.trained_parts import make, order
from tests.backends.test_native import EQUATION_9, Bcm, Direct, Populations
from tests.backends.test_native_transforms import Homeostasis

for sizes in ((1, 1, 2), (7, 17, 1, 3), (33, 100, 2)):
    for batch in (1, 3):
        for rule, more in (
            (EQUATION_9, []), ("bp+bcm+populations", [Bcm, Populations]), ("direct", [Direct]),
        ):
            native, _ = make(
                NativeBackend, rule, sizes, seeds=3, batch=batch, rules=more,
                more={{"flags": {FLAGS!r}, "threads": 2}},
            )
            native.advance(order(3, 20))
        native, _ = make(
            NativeBackend, "bp+oja+weight-decay", sizes, seeds=3, batch=batch,
            transforms=["adam", "weight-bounds", "made"], transform_classes=[Homeostasis],
            more={{"flags": {FLAGS!r}}},
        )
        native.advance(order(3, 20))
native, _ = make(NativeBackend, "bp+oja", (9, 9, 9, 4), residual=True, activation="tanh",
                 layer_norm=True,
                 more={{"flags": {FLAGS!r}}})
native.advance(order(1, 23))

from tests.backends.test_native_matrices import Fed, Lateral, Passed, Sited
from tests.backends.test_native_passes import Sites

for sizes in ((1, 1, 2), (7, 17, 1, 3), (33, 100, 2)):
    for batch in (1, 3):
        for rule, rules in (
            ("0.01*sited+0.001*lateral+bp", [Sited, Lateral]), ("0.01*fed", [Fed]),
            ("0.01*passed+0.01*sites", [Passed, Sites]),
        ):
            native, _ = make(
                NativeBackend, rule, sizes, seeds=3, batch=batch, rules=rules,
                more={{"flags": {FLAGS!r}, "threads": 2}},
            )
            native.advance(order(3, 20))

import torch
from plastic_core.backends.native.native_tangents import NativeTangents
from plastic_core.backends.dual.tangent_step import TangentStep
from plastic_core.api import RecurrentSpec
from tests.backends import test_native_recurrent
from tests.meta import test_tangents

for batch in (1, 3):
    for rule, transforms in (("kolen-pollack+oja", []), ("bp+oja", ["adam"])):
        native, _ = make(
            NativeBackend, rule, (64, 10), seeds=3, batch=batch, transforms=transforms,
            net="dense 17 connections 0.3 / dense 9 connections 0.5 bias",
            more={{"flags": {FLAGS!r}, "factors": {{"oja": torch.rand(20)}}}},
        )
        native.advance(order(3, 20))
        native.advance(order(3, 6), 14)

for sizes in ((1, 1, 2, 1, 2), (7, 17, 3, 2, 6)):
    names = ("inputs", "hidden", "classes", "present", "steps")
    for more in ({{}}, {{"bias": True, "layer_norm": True, "residual": True, "activation": "gelu"}}):
        spec = RecurrentSpec(**dict(zip(names, sizes)), **more)
        for rule in test_native_recurrent.RULES[2:4]:
            for batch in (1, 4):
                native, _ = test_native_recurrent.make(
                    NativeBackend, rule, spec, 3, batch=batch, flags={FLAGS!r}
                )
                native.advance(order(3, 9))
from tests.backends.test_native_ahead import RULES, Alone

for rule in (*RULES, Alone):
    for sizes in ((8, 9), (53, 19, 5)):
        for batch in (1, 3, 20):
            thetas = {{"bp": torch.tensor([1e6, 0.01]), rule.spec.name: torch.tensor([1e6, 0.01])}}
            native, _ = make(
                NativeBackend, "bp+" + rule.spec.name, sizes, seeds=2, batch=batch, rules=[rule],
                thetas=thetas, activation="relu", more={{"flags": {FLAGS!r}}},
            )
            assert native.advance(order(2, 61))[1] < 0

for sizes in ((1, 1, 2), (7, 17, 1, 3), (33, 100, 2)):
    for batch in (1, 3):
        spec, hooks, thetas, parameters = test_tangents.made(test_tangents.EQUATION_9, sizes)
        step = TangentStep(spec, hooks, thetas, parameters)
        x, target = torch.rand(60, sizes[0]).double(), torch.eye(sizes[-1]).double()[[0] * 60]
        native = NativeTangents(
            spec, hooks, thetas, parameters, x, target, batch, flags={FLAGS!r}
        )
        native.carry(step.tangents)
        native.advance(order(2, 20) % 60)

from tests.engine.drawn_circuits import NATIVE_IMAGES, Drawn
from tests.engine.test_random_circuits import native_tangents_are_eager

for number in NATIVE_IMAGES:
    drawn = Drawn(number, native=True, images=True)
    NativeBackend(
        drawn.spec, drawn.hooks, drawn.thetas, drawn.parameters(), drawn.x, drawn.target,
        drawn.batch, flags={FLAGS!r},
    ).advance(drawn.order)
for number in (15, 43, 47):
    drawn = Drawn(number, native=True, transforms=())
    native_tangents_are_eager(drawn, flags={FLAGS!r})
print("clean")
"""


@pytest.mark.slow
def test_no_access_out_of_bounds_and_nothing_undefined(tmp_path):
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    found = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip("gcc has no address sanitizer here")
    environment = {
        **os.environ,
        "CC": compiler,
        "LD_PRELOAD": found,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps what it allocated
        "XDG_CACHE_HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.stdout.split() == ["clean"], done.stderr[-3000:]
    assert done.returncode == 0
