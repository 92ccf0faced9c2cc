r"""Your own model
==============

A PyTorch model stays as it is, and its layers learn by plasticity rules: ``Plasticity`` takes the
place of the optimiser. Here it is a small convolutional network on the digits that come with
scikit-learn.
"""

# %%
# A model
# -------
# Nothing in it knows of plastic.

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

points, labels = load_digits(return_X_y=True)
images = torch.tensor(points / 16, dtype=torch.float32).view(-1, 1, 8, 8)
classes = torch.tensor(labels)
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
train, test = order[:1300], order[1300:]


def make_model(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 50),
        nn.ReLU(),
        nn.Linear(50, 10),
    )


# %%
# Rules in place of an optimiser
# ------------------------------
# ``step`` carries the error back and changes the weights. ``print`` says which layers learn, and
# what the activity ``post`` of each is; it is looked up when the model is called first.

from plastic_core import Plasticity

model = make_model(0)
plasticity = Plasticity(model, "0.02*bp + 1e-4*oja")
plasticity.step(functional.cross_entropy(model(images[:8]), classes[:8]))
print(plasticity)

# %%
# A loop of your own
# ------------------
# With feedback alignment the error comes back through random matrices, in place of the transposed
# weights: the backward pass of the layers is changed, and nothing of the model.


def learn(rule, seed, passes=8, batch=8):
    model = make_model(seed)
    plasticity = Plasticity(model, rule, seed=seed)
    shuffled, found = torch.Generator().manual_seed(seed), []
    for _ in range(passes):
        for chosen in train[torch.randperm(len(train), generator=shuffled)].split(batch):
            plasticity.step(functional.cross_entropy(model(images[chosen]), classes[chosen]))
        with torch.no_grad():
            right = model(images[test]).argmax(-1) == classes[test]
        found.append(100 * right.float().mean().item())
    return found


figure, axes = plt.subplots(figsize=(6, 3.5))
for place, rule in enumerate(("0.02*bp", "0.02*fa")):
    curves = torch.tensor([learn(rule, seed) for seed in range(3)])
    passes = torch.arange(1, curves.shape[1] + 1)
    axes.plot(passes, curves.mean(0), color=f"C{place}", label=rule)
    axes.fill_between(passes, curves.amin(0), curves.amax(0), color=f"C{place}", alpha=0.2)
axes.set(xlabel="passes over 1,300 digits", ylabel="test accuracy (%)", xticks=passes)
axes.legend()
figure.tight_layout()

# %%
# Beside an optimiser
# -------------------
# Layers that are not taken keep their gradients, so that an optimiser changes them in the same
# backward pass.

model = make_model(0)
plasticity = Plasticity(model, "0.02*fa + 1e-4*oja", layers=["0", "3"])
optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
for chosen in train.split(32):
    optimiser.zero_grad()
    functional.cross_entropy(model(images[chosen]), classes[chosen]).backward()
    optimiser.step()
    plasticity.step()
print(plasticity)
