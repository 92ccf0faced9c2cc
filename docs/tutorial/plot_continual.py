r"""One task after another
======================

Networks learn five digits, and then go on with five others. How much of the first do they forget,
with Oja's rule and without? A run begins with the networks of another by ``parent``
(``plastic run --from RUN``).

The images are MNIST's where ``PLASTIC_DATA_DIR`` names a folder with it, and else the 8 x 8 digits
that come with scikit-learn; the page says which.
"""

# %%
# Two halves
# ----------
# The digits 0 to 4, and 5 to 9. Both have the answers 0 to 4, so that the same five outputs serve.

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from plastic_core.api import DataDir, DataError
from plastic_tasks.mnist_mlp import MnistMlp, MnistMlpOptions

try:
    mnist = MnistMlp().load(
        DataDir([os.environ.get("PLASTIC_DATA_DIR", "none")]), MnistMlpOptions()
    )
    points, labels, called = mnist.inputs[:12000], mnist.labels[:12000], "MNIST, 12,000 images"
except DataError:
    points, labels = load_digits(return_X_y=True)
    points, called = points / 16, "digits of scikit-learn, 1,797 images"
print(called)
halves = [(points[of], labels[of] % 5) for of in (labels < 5, labels >= 5)]

# %%
# First the one, then the other
# -----------------------------
# The second run takes weights and states of the first, seed by seed. ``predict`` asks all networks
# at once; they are asked about both halves after each run.

from plastic_core import RunSpec, run

folder = Path(tempfile.mkdtemp())
parts = {"seeds": 5, "samples": 3000, "evaluations": 5, "options": {"net": "dense 100 / dense 50"}}


def learn_both(rule, name):
    """Return the accuracy in each half, after each run and for each seed, [2, 2, R]."""
    found, parent = [], ""
    for number, half in enumerate(halves):
        out = folder / f"{name}{number}"
        result = run(RunSpec(rule=rule, parent=parent, **parts), data=half, out=out)
        asked = [(result.networks.predict(x) == y).mean(1) for x, y in halves]
        found.append(asked)
        parent = str(out)
    return 100 * np.array(found)


rules = {"bp": "0.01*bp", "bp + oja": "0.01*bp + 1e-3*oja"}
accuracy = {name: learn_both(rule, name) for name, rule in rules.items()}

# %%
# What is left of the first half
# ------------------------------

for name, of_rule in accuracy.items():
    before, after = of_rule[0, 0], of_rule[1, 0]
    print(
        f"{name}: {before.mean():.1f}% of the first half before the second, {after.mean():.1f}% "
        f"after it, {of_rule[1, 1].mean():.1f}% of the second"
    )

figure, axes = plt.subplots(figsize=(6, 3.5))
for place, (name, of_rule) in enumerate(accuracy.items()):
    for half, style in enumerate(("-", "--")):
        label = f"{name}, {('first', 'second')[half]} half"
        axes.plot([1, 2], of_rule[:, half].mean(1), style, color=f"C{place}", label=label)
        axes.plot([1, 2], of_rule[:, half], style, color=f"C{place}", alpha=0.2)
axes.set(xticks=[1, 2], xticklabels=["after the first", "after the second"])
axes.set(ylabel="accuracy in a half (%)", title=called)
axes.legend()
figure.tight_layout()

# %%
# Whichever forgets more here, five networks are few: `plastic sweep` and `plastic compare` give intervals.
