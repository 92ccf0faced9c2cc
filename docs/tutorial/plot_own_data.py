r"""Your own data
=============

A table of your own becomes trained networks, predictions, and a file that PyTorch loads without
plastic. Nothing has to be downloaded: the table is that of 178 wines which comes with scikit-learn,
written as a CSV file as yours may be.
"""

# %%
# A table
# -------
# The first line names the columns; one of them is to be predicted.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine

folder = Path(tempfile.mkdtemp())
wines = load_wine(as_frame=True)
table = wines.data.assign(cultivar=wines.target_names[wines.target])
table.to_csv(folder / "wine.csv", index=False)
table[["alcohol", "hue", "proline", "cultivar"]].head()

# %%
# Train
# -----
# ``scale="standard"`` gives every column mean 0 and deviation 1, by the training points alone. 30%
# of the points are held out. On the command line this is
# ``plastic run --data wine.csv --target cultivar --scale standard``.

from plastic_core import RunSpec, run

spec = RunSpec(
    data=str(folder / "wine.csv"), target=("cultivar",), scale="standard", seeds=10, samples=1000
)
result = run(spec, out=folder / "wine")
accuracy = result.curves["accuracy"]
figure, axes = plt.subplots(figsize=(6, 3.5))
for seed in range(len(accuracy)):
    axes.plot(accuracy["step"], 100 * accuracy[seed], color="tab:blue", alpha=0.3)
axes.plot(accuracy["step"], 100 * accuracy.mean("seed"), color="tab:blue", linewidth=2)
axes.set(xlabel="training points", ylabel="held-out accuracy (%)")
figure.tight_layout()

# %%
# Predict
# -------
# The folder of the run holds the networks. They take points as the file had them, scale them as
# those of training were, and answer with labels. On the command line:
# ``plastic predict wine new.csv``.

from plastic_core import load

networks = load(folder / "wine").networks
new = table.drop(columns="cultivar").iloc[[0, 70, 150]]
print(networks.predict(new, seed=0))
print(table["cultivar"].iloc[[0, 70, 150]].to_numpy())

# %%
# How far the ten networks agree about every wine:

answers = networks.predict(table.drop(columns="cultivar"))
first = answers[0]
print(f"all ten say the same of {(answers == first).all(0).mean():.0%} of the wines")

# %%
# Look inside
# -----------
# ``activities`` are those of every layer, ``weights`` the matrices by name, with the seeds first.

for layer in networks.activities(new, seed=0):
    print(layer.shape)
print({name: weight.shape for name, weight in networks.weights.items()})

# %%
# Take one along
# --------------
# ``plastic export`` writes a program of torch.export, or a state with a module of PyTorch's that
# loads it. Neither needs plastic, and both scale their input.

import torch

from plastic_core.cli import execute

execute(["export", str(folder / "wine"), "--seed", "0", "--to", str(folder / "wine.pt2")])
program = torch.export.load(folder / "wine.pt2").module()
print(program(torch.tensor(new.to_numpy(), dtype=torch.float32)).argmax(-1))
