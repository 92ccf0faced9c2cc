"""Objects of other libraries that are handed over as data."""

import pandas as pd
import pytest
import torch
import xarray as xr
from PIL import Image
from sklearn.datasets import load_diabetes, load_wine

from plastic_core import PlasticError, RunSpec, run
from tests.data.points import QUICK, WINE, arrays


def objects():
    """Return objects that hold the same points, with the target that each needs."""
    x, y = arrays()
    frame = pd.DataFrame(x, columns=[*"abcd"]).assign(kind=y)
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    array = xr.DataArray(x.T, dims=("column", "point"), coords={"kind": ("point", y)})
    variables = xr.Dataset({"x": (("column", "point"), x.T), "kind": ("point", y)})
    columns = xr.Dataset(
        {**{n: ("point", x[:, i]) for i, n in enumerate("abcd")}, "kind": ("point", y)}
    )
    bunch = {"data": x, "target": y, "feature_names": [*"abcd"]}
    return {
        "a DataFrame": (frame, "kind"),
        "a Dataset of torch": (tensors, ""),
        "a DataArray": (array, "kind"),
        "a Dataset of xarray": (variables, "kind"),
        "a Dataset of columns": (columns, "kind"),
        "a Bunch": (bunch, ""),
    }


@pytest.mark.parametrize("kind", objects())
def test_objects_of_other_libraries(kind):
    data, target = objects()[kind]
    spec = RunSpec(task="own-data", target=target, **QUICK)
    assert run(spec, data=data).curves.equals(run(spec, data=arrays()).curves)


def test_a_bunch_names_its_classes_and_holds_numbers():
    spec = RunSpec(task="own-data", scale="standard", **QUICK)
    assert run(spec, data=load_wine()).record["classes"] == ["class_0", "class_1", "class_2"]
    assert "r2" in run(spec, data=load_diabetes()).curves


def test_images_of_a_torch_dataset_keep_their_shape():
    x = torch.rand(20, 3, 9, 8)
    data = torch.utils.data.TensorDataset(x, torch.arange(20) % 2)
    spec = RunSpec(task="own-data", options={"net": "conv 3 3x3 / pool 2"}, **QUICK)
    assert run(spec, data=data).record["network"]["image"] == [3, 9, 8]


class Pairs(torch.utils.data.Dataset):
    def __init__(self, item):
        self.item = item

    def __len__(self):
        return 9

    def __getitem__(self, place):
        return self.item


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize(
    ("data", "target", "message"),
    [
        (Pairs(3), (), "the Pairs: item 0 is a int; expected a pair (x, y)"),
        (
            Pairs((Image.new("L", (3, 3)), 1)),
            (),
            "the Pairs: x of item 0 is a Image; expected a tensor or an array, such as "
            "torchvision's ToTensor makes",
        ),
        (
            Stream(),
            (),
            "the Stream: cannot be asked for single points; expected a map-style Dataset",
        ),
        (
            WINE,
            (),
            "the DataFrame: say which column is to be predicted, by target (--target NAME); the columns are "
            + ", ".join(WINE.columns),
        ),
        (
            objects()["a DataArray"][0],
            ("kinds",),
            "the DataArray: there is no coordinate 'kinds'; did you mean 'kind'?; there are kind",
        ),
        (
            objects()["a Dataset of xarray"][0],
            (),
            "the Dataset: say which variable is to be predicted: RunSpec(target=('NAME',))",
        ),
    ],
)
def test_objects_that_do_not_hold_points(data, target, message):
    with pytest.raises(PlasticError) as caught:
        run(RunSpec(task="own-data", target=target), data=data)
    assert str(caught.value) == f"data: {message}"
