"""Convolution and pooling by slow NumPy loops over places, and learning of one mini-batch by them."""

import itertools

import numpy as np

from tests.reference import slow

#: Decays, which act once an update, however many places there are.
ONCE = {slow.weight_decay, slow.b_decay}


class Conv:
    def __init__(self, channels, kernel, stride=1, pad=0):
        self.channels, self.kernel, self.stride, self.pad = channels, kernel, stride, pad

    def places(self, shape):
        """Yield each place of z, and for each entry of its patch where that is in the image."""
        (k, m), (_, height, width) = self.kernel, shape
        rows = range(0, height + 2 * self.pad - k + 1, self.stride)
        columns = range(0, width + 2 * self.pad - m + 1, self.stride)
        for (i, row), (j, column) in itertools.product(enumerate(rows), enumerate(columns)):
            entries = []
            for c, a, b in itertools.product(range(shape[0]), range(k), range(m)):
                at = (c, row + a - self.pad, column + b - self.pad)
                inside = 0 <= at[1] < height and 0 <= at[2] < width
                entries.append(at if inside else None)
            yield (i, j), entries


class Pool:
    def __init__(self, size):
        self.size = size

    def forward(self, image):
        """Return the pooled image, and where each of its numbers comes from."""
        channels, height, width = image.shape
        shape = (channels, height // self.size, width // self.size)
        pooled, source = np.zeros(shape), np.empty(shape, object)
        for c, i, j in np.ndindex(shape):
            window = list(itertools.product(range(self.size), repeat=2))
            at = [(c, i * self.size + a, j * self.size + b) for a, b in window]
            source[c, i, j] = max(at, key=lambda one: image[one])  # the first of equals
            pooled[c, i, j] = image[source[c, i, j]]
        return pooled, source


class Dense:
    def __init__(self, units):
        self.units = units

    def places(self, shape):
        yield (0, 0), [*np.ndindex(*shape)]


def step(layers, weights, feedback, terms, xs, targets, through):
    """Learn from one mini-batch in place, as `slow.step`.

    Args:
        layers: Conv, Pool and Dense, the readout last.
        xs: [K, C, H, W].
    """
    d_weights = [np.zeros_like(w) for w in weights]
    d_feedback = [np.zeros_like(b) for b in feedback]
    for x, target in zip(xs, targets, strict=True):
        done = forward(layers, weights, feedback, x)
        output_error = done[-1]["y"].ravel() - target
        done[-1]["e"] = output_error.reshape(done[-1]["z"].shape)
        for number in reversed(range(len(done))):
            back(done, number, output_error, through)
        for i, one in enumerate(one for one in done if "events" in one):
            for n, (rule, theta) in itertools.product(one["events"], terms):
                share = theta / len(xs) / (len(one["events"]) if rule in ONCE else 1)
                increment = rule(n)
                d_weights[i] += share * increment.get("W", 0 * weights[i])
                if feedback and "B" in increment:
                    d_feedback[i] += share * increment["B"]
    for matrix, d in zip([*weights, *feedback], [*d_weights, *d_feedback], strict=True):
        matrix += d


def forward(layers, weights, feedback, x):
    """Return what each layer did: its input, z, activity, and the event of each place."""
    done, number = [], 0
    for layer in layers:
        if isinstance(layer, Pool):
            pooled, source = layer.forward(x)
            done.append({"x": x, "y": pooled, "source": source})
            x = pooled
            continue
        places = [*layer.places(x.shape)]
        W = weights[number]
        (rows, columns), events = places[-1][0], []
        z = np.zeros((len(W), rows + 1, columns + 1))
        for (i, j), entries in places:
            n = slow.Layer()
            n.x = np.array([0.0 if at is None else x[at] for at in entries])
            n.W, n.lam, n.place, n.entries = W, 0.2 / len(places), (i, j), entries
            n.B = feedback[number] if feedback else None
            z[:, i, j] = W @ n.x
            events.append(n)
        y = slow.softmax(z) if layer is layers[-1] else slow.softplus(z)
        for n in events:
            n.y = y[:, n.place[0], n.place[1]]
        done.append({"x": x, "z": z, "y": y, "events": events})
        x, number = y, number + 1
    return done


def back(done, number, output_error, through):
    """Compute the errors of a layer's events, and that of the layer below."""
    one = done[number]
    below = done[number - 1] if number else {}
    arrived = np.zeros_like(one["x"])
    if "source" in one:
        for at, source in np.ndenumerate(one["source"]):
            arrived[source] += one["arrived"][at]
    else:
        for n in one["events"]:
            n.e, n.output_error = one["e"][:, n.place[0], n.place[1]], output_error
            if through == "output":
                continue
            for at, value in zip(n.entries, slow.BACK[through](n), strict=True):
                if at is not None:
                    arrived[at] += value
        if through == "output":
            arrived = fed_back(one, output_error, first=number == 0)
    below["arrived"] = arrived
    # dL/dz of the layer below; or where none made the input, the same from its activity
    error = arrived * slow.slope(one["x"])
    if "z" in below:
        below["e"] = error
    for n in one.get("events", ()):
        n.e0 = np.array([0.0 if at is None else error[at] for at in n.entries])


def fed_back(one, output_error, first):
    """Return B e_L, once for all places: place by place, each with all channels.

    The input, and what one dense place reads, are by channel, row and column.
    """
    B, shape = one["events"][0].B, one["x"].shape
    sent = B @ output_error
    if len(one["events"]) == 1 or first:
        return sent.reshape(shape)
    return sent.reshape(shape[1] * shape[2], shape[0]).T.reshape(shape)
