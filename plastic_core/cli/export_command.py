"""``plastic export``: one trained network, for programs that know nothing of plastic."""

from __future__ import annotations

import keyword
import sys
from typing import Annotated, Final

from cyclopts import App, Parameter

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import expanded
from plastic_core.cli.flag_types import Texts, Whole
from plastic_core.plan.parent import WEIGHTS_FILE

# Names that an import would find elsewhere, or in place of them.
_MODULES: Final = {*sys.stdlib_module_names, "numpy", "safetensors", "torch"}

app = App(name="export", help="Write one trained network for PyTorch alone.")


@app.default
def export(
    run: Annotated[str, Parameter(show_default=False)],
    *,
    to: str,
    seed: Whole | None = None,
    plugin: Texts = None,
) -> None:
    """Write one trained network for PyTorch alone.

    Args:
        run: the folder of a finished run.
        to: the file. NAME.safetensors has the weights, and NAME.py beside it a module that loads
            them; NAME.pt2 is a program of torch.export.
        seed: of the network; may be left out where there is one.
        plugin: file with an unpackaged plugin that the run names; may be repeated.
    """
    file = expanded(to)
    if file.suffix not in (".safetensors", ".pt2"):
        raise PlasticError(
            f"--to {to}: expected .safetensors, with a module of PyTorch beside it, or .pt2, of "
            "torch.export"
        )
    taken = keyword.iskeyword(file.stem) or file.stem in _MODULES
    if file.suffix == ".safetensors" and (taken or not file.stem.isidentifier()):
        raise PlasticError(
            f"--to {to}: beside it comes a module of the same name, and {file.stem!r} is none that "
            "Python imports, or another's; write letters, digits and underscores"
        )
    if file.resolve() == (expanded(run) / WEIGHTS_FILE).resolve():
        raise PlasticError(f"--to {to}: holds all networks of the run; write another name")
    module = file.with_suffix(".py")
    if file.suffix == ".safetensors" and module.exists() and not file.exists():
        raise PlasticError(
            f"--to {to}: beside it comes the module {module.name}, and there is a file of this "
            "name; write another name"
        )
    from plastic_core.experiments.run_result import load
    from plastic_core.training.network_module import write_program, write_state

    networks = load(run, plugins=plugin or ()).networks
    if seed is None and len(networks.seeds) > 1:
        raise PlasticError(
            f"the run has the networks of {len(networks.seeds)} seeds; write --seed N, of "
            f"{', '.join(map(str, networks.seeds))}"
        )
    one = networks.of(networks.seeds[0] if seed is None else seed)
    if one.seeds[0] in networks.diverged:
        raise PlasticError(f"the network of seed {one.seeds[0]} diverged; write another --seed")
    for written in (write_program if file.suffix == ".pt2" else write_state)(one, file):
        print(f"written to {written}")
