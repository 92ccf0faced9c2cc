"""A figure of a stranger's package, and the flags that it is reproduced with."""

FIGURE = """
title = "A rule of a stranger beside backpropagation"

[base]
task = "digits-mlp"
seeds = 3
samples = 100
evaluations = 2
probes = ["weight-norm"]

[grid]
bp = "0.01,0.1"
mine = "1e-4,1e-3"

[networks.small]
options = { sizes = "64,12,10" }
arms = [
    { label = "BP", rule = "bp", thetas = { bp = 0.1 } },
    { label = "BP, mine", rule = "bp+mine", thetas = { bp = 0.1, mine = 1e-4 } },
    { label = "mine", rule = "mine", base = { readout = "knn" } },
]

[[claims]]
text = "The stranger's rule helps"
measure = "accuracy"
network = "small"
arms = ["BP, mine", "BP"]
direction = "above"
published = "98.4% on MNIST"
source = "Stranger 2020, table 1"

[[claims]]
text = "It makes weights grow, in each layer"
measure = "weight_norm"
each_layer = true
network = "small"
arms = ["BP, mine", "BP"]
direction = "above"
step = 50

[[claims]]
text = "Its loss is small"
measure = "loss"
network = "small"
arms = ["mine"]
value = 1.0
direction = "below"
"""


def flags(tmp_path):
    return ["--store", str(tmp_path / "store"), "--out", str(tmp_path / "out"), "--workers", "0"]
