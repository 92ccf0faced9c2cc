"""The feed-forward network: one forward pass, and the signals of each projection top-down.

    y_0 = x                         z_l = W_l y_{l-1}           (or a rule's own forward hook)
    y_l = sigma(z_l) [+ y_{l-1}]    output: the loss's of z_L
    e_L = dL/dz_L                   a_{l-1} = propagate(e_l) [+ a_l]
    e_{l-1} = a_{l-1} * sigma'

The terms in brackets are residual connections. With layer normalisation every hidden z_l is
normalised before sigma, and the error goes back through sigma' and through the normalisation, so
that e_l is still dL/dz_l of z_l = W_l y_{l-1}. All results go into buffers that are made once for
each number of events, because at one sample a step allocation and dispatch are what costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from plastic_core.api.loss import Loss
from plastic_core.api.network_spec import NetworkSpec
from plastic_core.api.signals import Signals
from plastic_core.hooks.hooks import Hooks
from plastic_core.networks.activations import ACTIVATIONS
from plastic_core.networks.losses import loss_of
from plastic_core.networks.normalisation import normalise, normalise_back
from plastic_core.networks.parameters import Parameters
from plastic_core.networks.products import aligned_zeros, product


@dataclass(frozen=True)
class Needs:
    """What must be computed at one projection, from what the selected rules read.

    Attributes:
        error: e_l.
        propagate: the error that goes on to the layer below, and its gated form.
        weight_error: W' e_l.
        recon: W' y_l.
        feedback_error: B e_l.
        post_first: store post before error, the order in which the updates will want them.
    """

    error: bool
    propagate: bool
    weight_error: bool
    recon: bool
    feedback_error: bool
    post_first: bool


def plan_needs(hooks: Hooks, depth: int) -> tuple[Needs, ...]:
    """Return what each projection must compute; where nobody reads an error there is no pass."""
    reads = [
        frozenset[str]().union(*(rule.reads for rule in hooks.local if p in rule.layers))
        for p in range(depth)
    ]
    at_error = {"error", "weight_error", "feedback_error", "pre_error"}
    needs = []
    for p in range(depth):
        below = frozenset[str]().union(*reads[:p])
        propagate = "pre_error" in reads[p] or bool(below & at_error)
        here = reads[p] | (hooks.propagate_reads if propagate else frozenset())
        on_top = p == depth - 1 and any("output_error" in r for r in (*reads, here))
        first = next((r.first_left for r in hooks.local if p in r.layers and r.first_left), None)
        needs.append(
            Needs(
                error=propagate or on_top or bool(here & at_error),
                propagate=propagate,
                weight_error="weight_error" in here,
                recon="recon" in here,
                feedback_error="feedback_error" in here,
                post_first=first == "post",
            )
        )
    # e_l exists only where it came down from above
    for p in reversed(range(depth - 1)):
        assert not needs[p].error or needs[p + 1].propagate
    return tuple(needs)


class Workspace:
    """The buffers of one projection for R replicas and K events, and the signals that view them.

    Args:
        projection: its index, counted from 0.
        weight: ``[R, n_post, n_pre]``.
        feedback: B, or None.
        needs: what to allocate.
        pre: ``[R, K, n_pre]``, where the layer below, or the input, is written.
        skip: whether a residual connection goes around the projection.

    Attributes:
        stack: ``[R, 2K, n_post]``, error and post together, so that W' [error, post] is one
            product and an update made of both needs no copy.
        pair: post and error in the order in which they are stacked, or post alone.
        activity: what the layer above sees: post, with the skipped activity where there is one.
        branch: ``[R, K, n_pre]``, y_{l-1} without what a residual connection added to it.
        normalised: from `normalise`, where the layer is normalised.
        forward: computes z = W pre.
        backward: computes W' [error, post], or the half of it that is needed.
        through_feedback: computes B e.
    """

    def __init__(
        self,
        projection: int,
        weight: Tensor,
        feedback: Tensor | None,
        needs: Needs,
        pre: Tensor,
        skip: bool,
    ) -> None:
        events, n_pre, n_post = pre.shape[1], pre.shape[2], weight.shape[1]

        def zeros(rows: int, units: int) -> Tensor:
            return aligned_zeros(len(weight), rows, units, like=weight)

        self.projection, self.skip, self.propagates = projection, skip, needs.propagate
        self.signals = s = Signals(projection + 1)
        s.batch, s.weight = events, weight
        s.pre = s.source = self.branch = pre
        self.z = zeros(events, n_post)
        self.normalised: tuple[Tensor, Tensor] | None = None
        self.forward = product(pre, weight.mT, self.z)

        self.pair: tuple[Tensor, ...]
        self.stack = zeros(2 * events if needs.error else events, n_post)
        if needs.error:
            first, second = self.stack[:, :events], self.stack[:, events:]
            self.pair = first, second
            s.post, s.error = self.pair if needs.post_first else (second, first)
        else:
            s.post = self.stack
            self.pair = (s.post,)
        self.activity = zeros(events, n_post) if skip else s.post

        self.backward: Callable[[], Tensor] | None = None
        if needs.weight_error or needs.recon:
            left = s.error if needs.weight_error else s.post
            if needs.weight_error and needs.recon:
                left = self.stack
            sent_back = zeros(left.shape[1], n_pre)
            self.backward = product(left, weight, sent_back)
            halves = sent_back[:, :events], sent_back[:, -events:]
            post_half = 0 if needs.post_first else 1
            if needs.recon:
                s.recon = halves[post_half]
            if needs.weight_error:
                s.weight_error = halves[1 - post_half]

        self.through_feedback: Callable[[], Tensor] | None = None
        if feedback is not None:
            s.feedback = feedback
        if needs.feedback_error:
            s.feedback_error = zeros(events, n_pre)
        if needs.propagate:
            s.pre_error = zeros(events, n_pre)


class Feedforward:
    """A feed-forward network over the replicas of `parameters`, which it reads and never writes."""

    def __init__(
        self, spec: NetworkSpec, hooks: Hooks, parameters: Parameters, loss: Loss | None = None
    ) -> None:
        self.spec, self.loss = spec, loss_of(spec, loss)
        self.needs = plan_needs(hooks, spec.depth)
        self._hooks = hooks
        self._own_forward = [hooks.forward_at(p) for p in range(spec.depth)]
        self._parameters = parameters
        self._activation = ACTIVATIONS[spec.activation]
        # by number of events: the input buffer and the workspaces
        self._workspaces: dict[int, tuple[Tensor, list[Workspace]]] = {}

    def activities(self, x: Tensor, replica: int) -> list[Tensor]:
        """Return y_0 .. y_L of one replica, ``[1, N, n_l]`` each, for inputs ``[1, N, n_0]``."""
        activities = [x]
        for p, weight in enumerate(self._parameters.weights):
            s = Signals(p + 1)
            s.pre, s.weight, s.batch = activities[-1], weight[replica : replica + 1], x.shape[1]
            own = self._own_forward[p]
            z = None if own is None else own(s)
            if z is None:
                z = torch.bmm(s.pre, s.weight.mT)
            if p == self.spec.depth - 1:
                activities.append(self.loss.output(z))
            else:
                if self.spec.layer_norm:
                    z, _ = normalise(z)
                y = self._activation.apply(z, None)
                activities.append(y + s.pre if self.spec.skips[p] else y)
        return activities

    def signals(self, x: Tensor, target: Tensor) -> Iterator[Workspace]:
        """Run one forward pass, then yield each projection from the output down, its signals set.

        When a projection is yielded, all that depends on its weights has been computed, so that
        its consumer may change them: every increment of a step sees one snapshot.

        Args:
            x: ``[R, K, n_0]``.
            target: ``[R, K, n_L]``.
        """
        buffer, spaces = self._workspaces.get(x.shape[1]) or self._make_workspaces(x.shape[1])
        buffer.copy_(x)
        self._forward(spaces)
        top = spaces[-1].signals
        if self.needs[-1].error:
            top.error.copy_(self.loss.error(top.post, target))
        propagate, gated = self._hooks.propagate, self._hooks.gated
        arrived: Tensor | None = None
        for space in reversed(spaces):
            s = space.signals
            if space.backward is not None:
                space.backward()
            if space.through_feedback is not None:
                space.through_feedback()
            if space.propagates:
                assert propagate is not None
                above, arrived = arrived, propagate(s)
                if space.skip:
                    assert above is not None
                    arrived = arrived + above
                if gated:
                    below = spaces[space.projection - 1] if space.projection else None
                    self.gate(arrived, space.branch, below, s.pre_error)
                else:
                    s.pre_error.copy_(arrived)
            yield space

    def gate(
        self, arrived: Tensor, branch: Tensor, below: Workspace | None, out: Tensor | None = None
    ) -> Tensor:
        """Return the error that arrived at y_{l-1}, taken back through sigma and normalisation.

        Args:
            arrived: ``[R, K, n_pre]``.
            branch: y_{l-1} without what skipped its layer.
            below: of layer l-1; None for the input.
            out: where to write.
        """
        error = self._activation.gate(arrived, branch, out)
        if below is None or below.normalised is None:
            return error
        through = normalise_back(error, *below.normalised)
        return through if out is None else out.copy_(through)

    def _forward(self, spaces: list[Workspace]) -> None:
        apply, last = self._activation.apply, spaces[-1]
        for space, own in zip(spaces, self._own_forward, strict=True):
            s = space.signals
            z = None if own is None else own(s)
            if z is None:
                space.forward()
                z = space.z
            if space is last:
                s.post.copy_(self.loss.output(z))
            else:
                if self.spec.layer_norm:
                    space.normalised = normalise(z)
                    z = space.normalised[0]
                apply(z, s.post)
                if space.skip:
                    torch.add(s.post, s.pre, out=space.activity)

    def _make_workspaces(self, events: int) -> tuple[Tensor, list[Workspace]]:
        parameters, depth = self._parameters, self.spec.depth
        feedback: list[Tensor | None] = [*parameters.feedback] or [None] * depth
        weight = parameters.weights[0]
        buffer = aligned_zeros(len(weight), events, weight.shape[2], like=weight)
        spaces: list[Workspace] = []
        for p, skip in enumerate(self.spec.skips):
            pre = spaces[-1].activity if spaces else buffer
            spaces.append(
                Workspace(p, parameters.weights[p], feedback[p], self.needs[p], pre, skip)
            )
        top = spaces[-1].signals
        for p, space in enumerate(spaces):
            s = space.signals
            if p:
                space.branch = spaces[p - 1].signals.post
            if p and self.needs[p].propagate:
                s.pre_error = spaces[p - 1].signals.error
            if self.needs[-1].error:
                s.output_error = top.error
            if self.needs[p].feedback_error:
                error = s.error if self._hooks.feedback == "layer" else top.error
                space.through_feedback = product(error, s.feedback.mT, s.feedback_error)
        self._workspaces[events] = buffer, spaces
        return buffer, spaces
