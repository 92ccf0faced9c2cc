"""What every rule must keep to: each check returns the faults that it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from plastic_core.api.network_spec import AnyNetwork
from plastic_core.api.plugin import Rule
from plastic_core.backends.compiled.functional_step import FunctionalStep
from plastic_core.base.fault import Fault
from plastic_core.hooks.trial import Trial
from plastic_core.testing.backend_checks import (
    BACKENDS,
    backends_of,
    difference_on,
    difference_over_time,
)
from plastic_core.testing.small import CONVOLUTION, SmallNetwork, difference, theta_of

Check = Callable[[type[Rule]], list[Fault]]

_EXAMPLE: Final = "return outer(s.post, s.pre)"


def check_signals(rule: type[Rule]) -> list[Fault]:
    """Shapes and dtypes of what is returned, no input modified, nothing read but the declared."""
    faults: dict[Fault, None] = {}
    for dtype in (torch.float32, torch.float64):
        for hook in ("plastic_forward", "plastic_propagate_error", "plastic_local_update"):
            made = rule()
            if hasattr(made, hook):
                faults |= dict.fromkeys(tried(made, hook, dtype).faults)
    return list(faults)


def tried(rule: Rule, hook: str, dtype: torch.dtype) -> Trial:
    """Return the trial of one hook."""
    trial = Trial(rule, dtype)
    trial.tried(hook, getattr(rule, hook))
    return trial


def check_repeatable(rule: type[Rule]) -> list[Fault]:
    """A hook gives the same numbers for the same signals, without random numbers of its own."""
    for hook in ("plastic_forward", "plastic_propagate_error", "plastic_local_update"):
        made = rule()
        if hasattr(made, hook) and not tried(made, hook, torch.float32).repeatable:
            found = (
                "gives other numbers when it is called again: it draws random numbers, or counts"
            )
            accepted = "compute from the signals, the parameters and the states alone"
            return [Fault(hook, found, accepted, _EXAMPLE)]
    return []


def check_zero_theta(rule: type[Rule], network: AnyNetwork | None = None) -> list[Fault]:
    """Theta 0 leaves every weight as it is, bit for bit."""
    still = SmallNetwork(rule(), [0.0], network=network)
    after = still.train(3)
    for name, before in still.initial().named().items():
        if not name.startswith("state.") and not torch.equal(before, after[name]):
            found = f"changes {name} at theta 0, by up to {_largest(after[name] - before)}"
            accepted = "return finite numbers, and leave the weights to the engine"
            return [_fault(found, accepted)]
    return []


def check_purity(rule: type[Rule]) -> list[Fault]:
    """The same instance, used again from the same start, gives the same numbers."""
    network = SmallNetwork(made := rule(), [theta_of(rule)])
    first = network.train(5)
    again = SmallNetwork(made, [theta_of(rule)]).train(5)
    return _same(
        "gives other numbers when it is used a second time, in",
        first,
        again,
        "keep what lasts from step to step in a declared state",
        'state={"trace": State(over="post")}',
    )


def check_deterministic(rule: type[Rule]) -> list[Fault]:
    """Two new instances give the same numbers."""
    one, other = (SmallNetwork(rule(), [theta_of(rule)]).train(5) for _ in range(2))
    accepted = "compute from the signals, the parameters and torch's random numbers alone"
    return _same("gives other numbers in a second run, in", one, other, accepted, _EXAMPLE)


def check_replicas(rule: type[Rule], network: AnyNetwork | None = None) -> list[Fault]:
    """A replica has the same numbers alone as beside others with other seeds and thetas."""
    thetas = [theta_of(rule, network) * factor for factor in (1.0, 0.5, 0.25)]
    together = SmallNetwork(rule(), thetas, seeds=(0, 1, 2), network=network).train(5)
    for replica, theta in enumerate(thetas):
        alone = SmallNetwork(rule(), [theta], seeds=(replica,), network=network).train(5)
        faults = _same(
            "gives a network other numbers alone than beside others, in",
            alone,
            {name: value[replica : replica + 1] for name, value in together.items()},
            "the first dimension counts networks: mix nothing along it",
            "s.post.mean(-1, keepdim=True)  # over the population, not s.post.mean()",
        )
        if faults:
            return faults
    return []


def check_batch(rule: type[Rule], network: AnyNetwork | None = None) -> list[Fault]:
    """The increment of a mini-batch is the mean of the increments of its points.

    Of a rule with noise over events it is not, for each event has noise of its own.
    """
    if rule.spec.noise - {"weight"}:
        return []
    whole = SmallNetwork(rule(), [theta_of(rule, network)], batch=4, network=network)
    before, after = whole.initial().named(), whole.train(1)
    mean = {n: torch.zeros_like(v) for n, v in before.items() if not n.startswith("state.")}
    for k in range(4):
        one = SmallNetwork(rule(), [theta_of(rule, network)], batch=1, network=network)
        one.x, one.target = whole.x[:, :, k : k + 1], whole.target[:, :, k : k + 1]
        trained = one.train(1)
        for name in mean:
            mean[name] += (trained[name] - before[name]) / 4
    return _same(
        "has another increment for a mini-batch than the mean over its points, in",
        {n: after[n] - before[n] for n in mean},
        mean,
        "outer(a, b) is averaged by the engine; a dense increment is returned already averaged",
        "return torch.bmm(s.post.mT, s.pre) / s.batch",
    )


def check_theta_derivative(rule: type[Rule]) -> list[Fault]:
    """The derivative of the weights by theta, forward mode, against finite differences."""
    theta = theta_of(rule)
    network = SmallNetwork(rule(), [theta])
    step = FunctionalStep(network.circuit, network.hooks)
    name = rule.spec.name
    start = network.initial()

    def weights(value: Tensor) -> list[Tensor]:
        parameters = start
        torch.manual_seed(0)
        for k in range(3):
            parameters, _ = step(
                parameters, {name: value.reshape(1, 1, 1)}, network.x[k], network.target[k]
            )
        return [*parameters.weights, *parameters.feedback]

    at = torch.tensor(theta, dtype=torch.float64)
    example = "s.post.clamp_min(0)  # not s.post.item(), .detach() or .data"
    accepted = "let torch differentiate it: no .item(), .detach(), .data or NumPy"
    try:
        derivative = torch.func.jvp(weights, (at,), (torch.ones_like(at),))[1]
    except Exception as error:
        found = f"cannot be differentiated: {type(error).__name__}: {error}".splitlines()[0]
        return [Fault("plastic_local_update", found, accepted, example)]
    h = 1e-5 * max(abs(theta), 1e-3)
    pairs = zip(derivative, weights(at + h), weights(at - h), strict=True)
    for i, (exact, above, below) in enumerate(pairs):
        finite = (above - below) / (2 * h)
        off = (exact - finite).abs().max().item()
        if not off <= 1e-5 * max(1e-3, finite.abs().max().item()):
            found = (
                f"has a derivative by theta that is off by {off:.2g} from finite differences, "
                f"in matrix {i + 1}"
            )
            return [Fault("plastic_local_update", found, accepted, example)]
    return []


def check_native(rule: type[Rule]) -> list[Fault]:
    """The native backend, where it takes the rule, gives eager's numbers, over time too."""
    off = difference_on("native", lambda: _network(rule))
    off = off or difference_over_time(lambda: _network(rule))
    return _other_numbers("native", off)


def check_convolution(rule: type[Rule]) -> list[Fault]:
    """What holds elsewhere holds where weights are shared, and native gives eager's numbers there.

    A rule that modifies feedback from the outputs is refused there, and one that settles the
    network; they are not tried.
    """
    spec = rule.spec
    if spec.settle or (spec.feedback == "output" and "feedback" in spec.modifies):
        return []
    for check_it in (check_zero_theta, check_replicas, check_batch):
        if faults := check_it(rule, CONVOLUTION):
            return [replace(fault, found=f"{fault.found}, in a convolution") for fault in faults]
    off = difference_on("native", lambda: _network(rule, CONVOLUTION))
    return _other_numbers("native", f"{off}, in a convolution" if off else "")


def check_compiled(rule: type[Rule]) -> list[Fault]:
    """The compiled backend, where it takes the rule, gives eager's numbers."""
    return _other_numbers("compiled", difference_on("compiled", lambda: _network(rule)))


#: In the order in which they are run; where one of the first two finds something, the others
#: would say the same in other words.
RULE_CHECKS: Final[tuple[Check, ...]] = (
    check_signals,
    check_repeatable,
    check_zero_theta,
    check_purity,
    check_deterministic,
    check_replicas,
    check_batch,
    check_theta_derivative,
    check_native,
    check_convolution,
    check_compiled,
)


def backends(rule: type[Rule], names: Sequence[str] = BACKENDS) -> str:
    """Return which of the backends take the rule, and why the others do not."""
    return backends_of(lambda: _network(rule), f"rule '{rule.spec.name}'", names)


def _other_numbers(name: str, off: str) -> list[Fault]:
    found = f"gives other numbers on the backend {name} than on eager, in {off}"
    accepted = "let a hook depend on its signals alone, without branching on their values"
    example = "torch.where(s.post > 0.5, s.post, 0)  # not: if s.post.max() > 0.5"
    return [_fault(found, accepted, example)] if off else []


def _network(rule: type[Rule], network: AnyNetwork | None = None) -> SmallNetwork:
    return SmallNetwork(rule(), [theta_of(rule, network)], network=network)


def _same(
    found: str,
    one: dict[str, Tensor],
    other: dict[str, Tensor],
    accepted: str,
    example: str,
) -> list[Fault]:
    off = difference(one, other)
    return [_fault(f"{found} {off}", accepted, example)] if off else []


def _fault(found: str, accepted: str, example: str = _EXAMPLE) -> Fault:
    return Fault("plastic_local_update", found, accepted, example)


def _largest(difference: Tensor) -> str:
    return f"{difference.abs().max().item():.2g}"
