"""A slow NumPy implementation of every rule, written from its equation, one network at a time."""

import numpy as np


def softplus(z):
    return np.logaddexp(10 * z, 0) / 10


def slope(y):
    """Return sigma' as a function of the activity, for softplus(beta=10)."""
    return 1 - np.exp(-10 * y)


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def bp(n):
    return {"W": -np.outer(n.e, n.x)}


fa = bp


def oja(n):
    return {"W": np.outer(n.y, n.x) - np.outer(n.y, n.y) @ n.W}


def hebbian(n):
    return {"W": np.outer(n.y, n.x)}


def hebbian_error(n):
    return {"W": np.outer(n.e, n.e0)}


def weight_decay(n):
    return {"W": -n.W}


def b_update(n):
    return {"B": -np.outer(n.x, n.e)}


def b_update_printed(n):
    return {"B": -np.outer(n.e0, n.y)}


def b_decay(n):
    return {"B": -n.B}


dfa = sign_symmetric = bp


def sanger(n):
    increment = np.zeros_like(n.W)
    for i in range(len(n.y)):
        reconstructed = sum(n.y[k] * n.W[k] for k in range(i + 1))
        increment[i] = n.y[i] * (n.x - reconstructed)
    return {"W": increment}


def oja_single(n):
    increment = np.zeros_like(n.W)
    for i in range(n.W.shape[0]):
        for j in range(n.W.shape[1]):
            increment[i, j] = n.y[i] * (n.x[j] - n.y[i] * n.W[i, j])
    return {"W": increment}


def anti_hebbian(n):
    return {"W": -np.outer(n.y, n.x)}


def kolen_pollack(n):
    return {
        "W": -np.outer(n.e, n.x) - n.lam * n.W,
        "B": -np.outer(n.x, n.e) - n.lam * n.B,
    }


# how the error goes back: W' e, B e, from the output alone, through the signs of W
BACK = {
    "W": lambda n: n.W.T @ n.e,
    "B": lambda n: n.B @ n.e,
    "output": lambda n: n.B @ n.output_error,
    "signs": lambda n: (np.abs(n.B) * np.sign(n.W.T)) @ n.e,
}


class Layer:
    """The quantities of one layer for one sample."""


def step(weights, feedback, terms, xs, targets, through):
    """Learn from one mini-batch in place: increments of one snapshot, averaged over the samples.

    Args:
        weights: list of [n_post, n_pre].
        feedback: list of [n_pre, n_post], or [n_pre, n_L] for "output".
        terms: list of (rule function, theta).
        xs: [K, n_0].
        targets: [K, n_L], one-hot.
        through: how the error goes back, a key of BACK.
    """
    d_weights = [np.zeros_like(w) for w in weights]
    d_feedback = [np.zeros_like(b) for b in feedback]
    for x, target in zip(xs, targets, strict=True):
        layers, y = [], x
        for i, weight in enumerate(weights):
            n = Layer()
            n.x, n.W, n.B, n.lam = y, weight, feedback[i], 0.2
            z = weight @ y
            n.y = y = softmax(z) if i == len(weights) - 1 else softplus(z)
            layers.append(n)
        error = output_error = layers[-1].y - target
        for n in reversed(layers):
            n.e, n.output_error = error, output_error
            n.e0 = error = BACK[through](n) * slope(n.x)
        for i, n in enumerate(layers):
            for rule, theta in terms:
                increment = rule(n)
                if "W" in increment:
                    d_weights[i] += theta * increment["W"] / len(xs)
                if "B" in increment:
                    d_feedback[i] += theta * increment["B"] / len(xs)
    for weight, d in zip(weights, d_weights, strict=True):
        weight += d
    for b, d in zip(feedback, d_feedback, strict=True):
        b += d
