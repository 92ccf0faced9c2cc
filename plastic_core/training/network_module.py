"""A trained network as a module of PyTorch, and as files that need nothing of plastic."""

from __future__ import annotations

import io
import json
import re
from importlib.metadata import version
from pathlib import Path
from textwrap import indent
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from plastic_core.api.sequence_spec import SequenceSpec
from plastic_core.backends.step.evaluation import Evaluation
from plastic_core.base.errors import PlasticError
from plastic_core.base.files import write_atomically
from plastic_core.results.scaling import Scaling
from plastic_core.results.tensor_file import save_tensors
from plastic_core.training.trained_networks import TrainedNetworks, hooks_of

_REMEDY: Final = "free or allow it, or write --to another file"

_SOURCE: Final = '''"""{title}

    from {module} import load
    network = load("{file}")
    outputs = network(points)

Points are [N, {inputs}] of {dtype}, and outputs [N, {outputs}].
Written by plastic {version}; needs torch and safetensors alone.
"""

import torch
from safetensors.torch import load_file
from torch import device, inf, nan, nn

#: What the classes are called; nothing where they are 0, 1, ...
LABELS = {labels}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
{state}

{forward}


def load(file):
    """Return the network with the weights of a file."""
    network = Network()
    network.load_state_dict(load_file(file))
    return network.eval()
'''


class NetworkModule(nn.Module):
    """One trained network, as PyTorch has it.

    Args:
        networks: a single one.
    """

    def __init__(self, networks: TrainedNetworks) -> None:
        super().__init__()
        self._plan, self._whole = networks.plan, networks.parameters  # _parameters is PyTorch's
        self._hooks = hooks_of(networks.plan)
        self._own = {name: name.replace(".", "_") for name in networks.weights}
        named = networks.parameters.named()
        for name, own in self._own.items():
            self.register_parameter(own, nn.Parameter(named[name][0].cpu().clone(), False))
        data = networks.data
        self._keep("input", None if data is None else data.scaling)
        self._keep("target", None if data is None else data.target_scaling)

    def _keep(self, name: str, scaling: Scaling | None) -> None:
        """Keep shift and factor of a scaling beside the weights."""
        for part in ("shift", "factor") if scaling is not None else ():
            value = torch.tensor(getattr(scaling, part), dtype=torch.float64)
            self.register_parameter(f"{name}_{part}", nn.Parameter(value, False))

    def _scaling(self, name: str) -> tuple[Tensor, Tensor] | None:
        """Return shift and factor of a scaling, or None where there is none."""
        if not hasattr(self, f"{name}_shift"):
            return None
        return self.get_parameter(f"{name}_shift"), self.get_parameter(f"{name}_factor")

    def forward(self, x: Tensor) -> Tensor:
        """Return y_L, ``[N, n_L]`` or at each step ``[N, T, n_L]``, for ``[N, n_0]``.

        Points are scaled as those of training were, and predicted numbers back again.
        """
        if (scaling := self._scaling("input")) is not None:
            shift, factor = scaling
            rows = x.reshape(x.shape[0], -1, len(shift))
            x = ((rows - shift) * factor).float().to(x.dtype).flatten(1)
        named = self._whole.named()
        named |= {name: self.get_parameter(own)[None] for name, own in self._own.items()}
        circuit, parameters = self._plan.circuit, self._whole.with_values(named)
        evaluation = Evaluation(circuit, self._hooks, parameters)
        if self._hooks.settle is not None:
            output = evaluation.activities(x[None], 0)[-1][0]
        else:  # not in tiles, whose number would be that of the points that it is traced with
            output = evaluation.nodes(x[None], 0, [circuit.output])[circuit.output][0]
        if (scaling := self._scaling("target")) is not None:
            shift, factor = scaling
            output = torch.where(factor > 0, output / factor, 0.0) + shift
        network = self._plan.network
        if not isinstance(network, SequenceSpec):
            return output
        return output.reshape(-1, network.steps, output.shape[-1])


def exported(networks: TrainedNetworks) -> torch.export.ExportedProgram:
    """Return a single network as a program of torch.export, for any number of points.

    Raises:
        PlasticError: PyTorch cannot follow what its rules do in the forward pass.
    """
    example = torch.zeros(
        3, networks.plan.network.ends[0], dtype=networks.parameters.weights[0].dtype
    )
    points = ({0: torch.export.Dim("points", min=1)},)
    try:
        return torch.export.export(NetworkModule(networks), (example,), dynamic_shapes=points)
    except Exception as error:  # of what cannot be followed torch raises whatever comes
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise PlasticError(
            "these networks cannot be exported, for torch.export cannot follow the forward pass "
            f"of {', '.join(rule.name for rule in networks.plan.rules)}: {reason[0]}; "
            "plastic_core.load(RUN).networks predicts"
        ) from None


def write_program(networks: TrainedNetworks, file: Path) -> list[Path]:
    """Write a single network as torch.export has it; return the file.

    Raises:
        PlasticError: it cannot be written.
    """
    content = io.BytesIO()
    labels = {"labels.json": json.dumps(networks.labels)}
    torch.export.save(exported(networks), content, extra_files=labels)
    write_atomically(file, lambda path: path.write_bytes(content.getvalue()), _REMEDY)
    return [file]


def write_state(networks: TrainedNetworks, file: Path) -> list[Path]:
    """Write the state of a single network, and beside it a module that loads it; return both.

    Raises:
        PlasticError: a file cannot be written.
    """
    program, source = exported(networks), file.with_suffix(".py")
    state = {**program.state_dict, **program.constants}
    text = _source_of(networks, program, state, file)
    write_atomically(file, lambda path: save_tensors(state, path), _REMEDY)
    write_atomically(source, lambda path: path.write_text(text, encoding="utf-8"), _REMEDY)
    return [file, source]


def _source_of(
    networks: TrainedNetworks,
    program: torch.export.ExportedProgram,
    state: dict[str, Tensor],
    file: Path,
) -> str:
    plan = networks.plan
    lines = [
        f"self.{name} = nn.Parameter(torch.empty({[*value.shape]}, dtype={value.dtype}), False)"
        for name, value in state.items()
    ]
    return _SOURCE.format(
        title=f"A network of {plan.network.shape} that learned by {plan.spec.label}.",
        file=file.name,
        module=file.stem,
        version=version("plastic-learning"),
        inputs=plan.network.ends[0],
        outputs=", ".join(map(str, _output(program).shape[1:])),
        dtype=plan.spec.dtype,
        labels=networks.labels,
        state=indent("\n".join(lines), " " * 8),
        forward=indent(_code_of(program), " " * 4),
    )


def _output(program: torch.export.ExportedProgram) -> Tensor:
    (node,) = program.graph.find_nodes(op="output")
    (made,) = node.all_input_nodes
    value: Tensor = made.meta["val"]
    return value


def _code_of(program: torch.export.ExportedProgram) -> str:
    """Return the method ``forward`` of a module whose parameters are those of a program."""
    signature, graph = program.graph_signature, fx.Graph()
    held = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    made: dict[fx.Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in held:
            made[node] = graph.get_attr(held[node.name])
        elif node.op == "output":
            graph.output(made[node.args[0][0]])
        elif _is_whole(node):
            made[node] = made[node.args[0]]
        else:
            made[node] = graph.node_copy(node, made.__getitem__)
    graph.eliminate_dead_code()
    # names that are freed as soon as nothing needs them do not help whoever reads it
    return re.sub(r";  [\w = ]+ = None$", "", graph.python_code("self").src.strip(), flags=re.M)


def _is_whole(node: fx.Node) -> bool:
    """Return whether a node is all of the one network that there is."""
    return (
        node.target is torch.ops.aten.slice.Tensor
        and node.args[1:] == (0, 0, 1)
        and node.meta["val"].shape == node.all_input_nodes[0].meta["val"].shape
    )
