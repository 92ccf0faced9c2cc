r"""Your first rule
===============

In ten minutes you write a plasticity rule, train networks with it, compare it with others, and
look at what it has done to the weights. Nothing has to be downloaded: the digits come with
scikit-learn.

The rule is Oja's, for units that stand alone. Each unit strengthens what drives it, and forgets
in proportion to how strongly it is active, so that its weights cannot grow without bound:

.. math:: \Delta W_{ij} = \theta \left( y_i\, x_j - y_i^2\, W_{ij} \right)

Here :math:`x` is the activity before the weights, ``pre``, and :math:`y` the activity after
them, ``post``.
"""

# %%
# The rule
# --------
# A rule is a class with a specification and one method. The specification says what the rule
# is called, what it modifies, which signals it reads, and its coefficient theta with its bounds.
# The method returns the increment of the weights *without* theta: the engine multiplies by it.
#
# ``outer(a, b)`` stands for the matrix :math:`a\, b^\top`, and ``decay(f)`` for
# :math:`-f_i W_{ij}`. They are kept as factors and never multiplied out, which is a large part of
# why training is fast.

from plastic_core.api import Rule, RuleSpec, Theta, decay, hookimpl, outer


class MyOja(Rule):
    """Oja's rule for single units."""

    spec = RuleSpec(
        name="my-oja",
        summary="Oja's rule for single units",
        equation=r"y_i\, x_j - y_i^2\, W_{ij}",
        reference="Oja 1982, doi:10.1007/BF00275687",
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-5, min=0),
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre) + decay(s.post.square())


# %%
# Training
# --------
# A rule expression adds rules up. ``my-oja+bp`` is your rule beside backpropagation. ``run``
# trains one network for each seed, all with the same rule and each with its own initial weights
# and its own order of the data.

from plastic_core import RunSpec, run

spec = RunSpec(rule="my-oja+bp", task="digits-mlp", seeds=5, samples=2000, evaluations=8)
result = run(spec, rules=[MyOja])
print(f"accuracy after 2,000 digits: {result.summary['accuracy']['mean']:.1%}")
print(f"computed by: {result.summary['backend']}")

# %%
# Nobody wrote C for this rule: its method was followed once, and the loop over the training
# points was generated and compiled from it.
#
# Comparing
# ---------
# A coefficient in the expression takes the place of the default. The curves are labelled arrays,
# with a seed and a step axis.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 3.6))
for rule in ("bp", "my-oja+bp", "0.0002*my-oja + bp", "oja+bp"):
    curves = run(spec.model_copy(update={"rule": rule}), rules=[MyOja]).curves
    axes.plot(curves.step, curves.accuracy.mean("seed"), marker="o", markersize=3, label=rule)
axes.set(xlabel="training points seen", ylabel="accuracy, mean of 5 seeds", ylim=(0, 1))
axes.legend(frameon=False)
figure.tight_layout()

# %%
# With a larger theta the rule harms: units that stand alone all learn the same thing. Oja's
# subspace rule, ``oja``, makes them share the work, and does not.
#
# Looking inside
# --------------
# After a run the weights are there, one matrix a layer, with the seeds as first dimension. Alone
# in a linear layer, the rule turns the weights of each unit into the first principal component
# of the data, of length one. Twenty thousand updates take a second.

import numpy as np

source = np.random.default_rng(0)
points = source.standard_normal((4000, 6)) * [2.0, 1.0, 0.8, 0.5, 0.5, 0.3]
linear = RunSpec(
    rule="0.005*my-oja",
    task="digits-mlp",
    options={"sizes": [6, 4, 2], "activation": "linear"},
    settings={"my-oja": {"layers": 1}},
    seeds=1,
    samples=20000,
)
trained = run(linear, rules=[MyOja], data=(points, np.arange(4000) % 2))
weights = trained.parameters.weights[0][0].numpy()
print(np.round(np.abs(weights), 2))

# %%
# Every unit has found the first axis, along which the points vary most. ``sanger`` finds all axes
# in order.
#
# What next
# ---------
# ``plastic new-rule my-oja`` writes a package around such a class, with its tests;
# :doc:`/howto/publish_a_rule` goes on from there. :doc:`/reference/hooks` shows the three places
# at which a rule may act, and :doc:`/reference/signals` what it may read.
