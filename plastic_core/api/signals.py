"""What a rule may read: the signals of one projection (one weight matrix between populations).

R counts replicas (seeds x theta values), K the events that one update sums over
(mini-batch x time; 1 in online learning of a feed-forward network).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from plastic_core.api.site import Site

SignalName = Literal[
    "pre",
    "post",
    "z",
    "source",
    "recon",
    "error",
    "pre_error",
    "weight_error",
    "feedback_error",
    "output_error",
    "output",
    "target",
    "loss",
    "weight",
    "feedback",
]


class Signal(NamedTuple):
    """What there is to know of a signal: checks, trials and what is computed follow from it.

    Attributes:
        over: the population along its last dimension, ``[R, K, n]``; "out" is that of the output,
            "one" a single number. "weight" and "feedback" are the matrices themselves.
        error: whether it exists only where an error is propagated.
        product: the matrix that it comes back through, W' or B, and the signal that does.
    """

    over: Literal["pre", "post", "out", "one", "weight", "feedback"]
    error: bool = False
    product: tuple[Literal["weight", "feedback"], Literal["post", "error"]] | None = None


#: All signals.
SIGNALS: Final[dict[SignalName, Signal]] = {
    "pre": Signal("pre"),
    "post": Signal("post"),
    "z": Signal("post"),
    "source": Signal("pre"),
    "recon": Signal("pre", product=("weight", "post")),
    "error": Signal("post", error=True),
    "pre_error": Signal("pre", error=True),
    "weight_error": Signal("pre", error=True, product=("weight", "error")),
    "feedback_error": Signal("pre", error=True, product=("feedback", "error")),
    "output_error": Signal("out"),  # of the loss alone
    "output": Signal("out"),
    "target": Signal("out"),
    "loss": Signal("one"),
    "weight": Signal("weight"),
    "feedback": Signal("feedback"),
}

SIGNAL_NAMES: Final[frozenset[str]] = frozenset(SIGNALS)

#: Signals that exist only where an error is propagated.
ERROR_SIGNALS: Final = frozenset(name for name, signal in SIGNALS.items() if signal.error)

#: Signals of each sample, the same at every projection, and at each of its steps and places.
OF_SAMPLE: Final = ("output", "target", "loss")

#: Those that there are where a network settles, which has no error pass.
SETTLED_SIGNALS: Final[frozenset[SignalName]] = frozenset(
    {"pre", "post", "z", "source", "recon", "output", "target", "loss", "weight", "feedback"}
)

#: The matrices themselves.
MATRIX_SIGNALS: Final = frozenset({"weight", "feedback"})


#: The signals that are W' of another, by the name of that.
BACK: Final[dict[str, SignalName]] = {
    one.product[1]: name
    for name, one in SIGNALS.items()
    if one.product and one.product[0] == "weight"
}


class Products(Protocol):
    """Products with the matrices of a projection."""

    def forward(self, v: Tensor) -> Tensor:
        """Return W v."""
        ...

    def back(self, v: Tensor) -> Tensor:
        """Return W' v."""
        ...

    def feed_back(self, v: Tensor) -> Tensor:
        """Return B v."""
        ...


class OwnTensors(Protocol):
    """What belongs to a rule, as its spec declares it, by name."""

    def __getattr__(self, name: str) -> Tensor:
        """Return a state, a theta or noise."""
        ...


#: Products with the matrices of a projection that a hook may ask for.
PRODUCT_NAMES: Final = ("forward", "back", "feed_back")


class Signals:
    """The signals of one projection, as attributes; a rule declares in `reads` what it uses.

    Each event is a sample at one step and one place: where weights are shared, as in a convolution,
    pre is what one place reads, such as a patch, and post its channels.

    Attributes:
        pre: ``[R, K, n_pre]``, what multiplies the weight: y_{l-1}.
        post: ``[R, K, n_post]``, y_l = sigma(z_l); in the output layer what the loss makes of
            z_L, such as softmax. In a residual layer this is sigma(z_l) alone, without the
            skipped activity. With layer normalisation it is sigma of the normalised z_l.
        z: ``[R, K, n_post]``, what error is the gradient by: z_l = W_l y_{l-1}, before bias and
            normalisation; in a recurrent network the state z_t.
        source: ``[R, K, n_pre]``, what Oja's rule reconstructs: y_{l-1}.
        recon: ``[R, K, n_pre]``, the reconstruction W' post.
        error: ``[R, K, n_post]``, e_l = dL/dz_l of each sample, not divided by the batch, where
            z_l = W_l y_{l-1}; with layer normalisation too, which lies between z_l and sigma.
        pre_error: ``[R, K, n_pre]``, e_{l-1}: the propagated error times sigma', which is
            written as a function of the activity (softplus(10): 1 - exp(-10 y)), so that it
            exists for the input layer too; then through the layer's normalisation, if any.
        weight_error: ``[R, K, n_pre]``, W' e_l.
        feedback_error: ``[R, K, n_pre]``, B e_l (with ``feedback="output"``: B e_L).
        output_error: ``[R, K, n_L]``, e_L.
        output: ``[R, K, n_L]``, y_L, what the loss makes of z_L, such as softmax.
        target: ``[R, K, n_L]``, what it should be: one-hot, or numbers.
        loss: ``[R, K, 1]``, of each sample.
        weight: ``[R, n_post, n_pre]``, W.
        feedback: ``[R, n_pre, n_post]``, B (with ``feedback="output"``: ``[R, n_pre, n_L]``).
        state: the rule's own states in this projection, as attributes.
        theta: those of the rule's own thetas, ``[R, 1, 1]``, as attributes, where it has several.
        noise: the rule's own noise in this projection and update, as attributes.
        passes: the signals of each pass of the update, where the rule has several; what is not said
            to be of another is of the first.
        pass_index: which pass it is, counted from 0.
        phases: the signals of each phase by name, where the network settles; they are attributes
            too, such as `free`.
        phase: which phase it is, where the network settles; known to `plastic_settle`.
        below: ``[R, K, n_post]``, W y of the population below; known to `plastic_settle`.
        above: ``[R, K, n_post]``, what comes from the population above; known to `plastic_settle`.
        input: ``[R, batch, n_0]``, what the first pass showed; known to `plastic_input`.
        batch: the size of the mini-batch.
        learning: whether the network learns; False where it is evaluated.
    """

    __slots__ = (
        *sorted(SIGNAL_NAMES),
        *("above", "batch", "below", "input", "learning", "noise", "pass_index", "passes"),
        *("phase", "phases", "products", "site", "state", "theta"),
    )

    pre: Tensor
    post: Tensor
    z: Tensor
    source: Tensor
    recon: Tensor
    error: Tensor
    pre_error: Tensor
    weight_error: Tensor
    feedback_error: Tensor
    output_error: Tensor
    output: Tensor
    target: Tensor
    loss: Tensor
    weight: Tensor
    feedback: Tensor
    state: OwnTensors
    noise: OwnTensors
    theta: OwnTensors
    passes: Sequence[Signals]
    pass_index: int
    phases: Mapping[str, Signals]
    phase: str
    below: Tensor
    above: Tensor
    input: Tensor
    batch: int
    learning: bool
    products: Products
    site: Site

    def __init__(self, site: Site, products: Products, learning: bool = True) -> None:
        self.site, self.products, self.learning = site, products, learning
        self.pass_index = 0
        # an attribute that is not there takes long to be missed, at every step
        self.passes, self.phases = (), {}

    @property
    def layer(self) -> int:
        """In which it is, counted from 1."""
        return self.site.layer

    @property
    def is_output(self) -> bool:
        """Whether `post` is the output of the network."""
        return self.site.is_output

    @property
    def leak(self) -> float:
        r"""How fast the activity follows, :math:`y_t = (1 - leak) y_{t-1} + leak \sigma(z_t)`.

        1 in all networks but those that answer at each step of a sequence.
        """
        return self.site.leak

    def by_time(self, x: Tensor) -> Tensor:
        """Return events, ``[R, K, n]``, by their step, ``[R, T, batch, n]``.

        T is 1 where nothing runs through time; places count as samples.
        """
        return x.reshape(len(x), -1, self.batch * self.site.places, x.shape[-1])

    def activation(self, z: Tensor) -> Tensor:
        r"""Return :math:`\sigma(z)` of this layer, ``[R, K, n_post]``.

        At the output that is what the loss makes of z, such as softmax; where a layer has no
        activation function, as within attention, z itself.
        """
        return self.site.activation(z)

    def slope(self, z: Tensor) -> Tensor:
        r"""Return :math:`\sigma'(z)`, ``[R, K, n_post]``.

        Raises:
            TypeError: at the output, which has none.
        """
        return self.site.slope(z)

    def forward(self, v: Tensor) -> Tensor:
        """Return W v, ``[R, K, n_post]`` of ``[R, K, n_pre]``, without bias and normalisation."""
        return self.products.forward(v)

    def back(self, v: Tensor) -> Tensor:
        """Return W' v, ``[R, K, n_pre]`` of ``[R, K, n_post]``.

        Of error it is `weight_error`, and of post `recon`, which the engine computes anyway.
        """
        for of, name in BACK.items():
            known: Tensor | None = getattr(self, name, None)
            if known is not None and v is getattr(self, of, None):
                return known
        return self.products.back(v)

    def feed_back(self, v: Tensor) -> Tensor:
        """Return B v, ``[R, K, n_pre]`` of ``[R, K, n_post]``.

        With ``feedback="output"`` of ``[R, K, n_L]``. Of the error it is `feedback_error`, which is
        to be read in its place where it is wanted more than once.
        """
        return self.products.feed_back(v)

    def __getattr__(self, name: str) -> Signals:
        """Return a phase, or explain a signal that was not computed.

        Python calls this for unset slots, and for what is none.
        """
        if name not in self.__slots__ and name in self.phases:
            return self.phases[name]
        if name in SIGNAL_NAMES:
            raise AttributeError(
                f"the signal '{name}' was not computed: a rule must read the same signals at every "
                "step, for the engine computes those that it saw the rule read when it was built"
            )
        raise AttributeError(
            f"there is no signal '{name}'; the signals are {', '.join(sorted(SIGNAL_NAMES))}"
        )
