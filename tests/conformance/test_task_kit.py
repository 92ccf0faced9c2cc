"""The kit of tasks finds what it is there to find, and says it in full."""

import numpy as np
import pytest

from plastic_core.api import DataError, Dataset, NetworkOptions, NetworkSpec, Task, TaskSpec
from plastic_core.testing import TaskConformance


def dataset(points=40, seed=0, **changes):
    source = np.random.default_rng(seed)
    x = source.random((points, 3)).astype(np.float32)
    y = np.arange(points) % 2
    parts = {
        "inputs": x[: points // 2],
        "labels": y[: points // 2],
        "held_out_inputs": x[points // 2 :],
        "held_out_labels": y[points // 2 :],
    }
    return Dataset(**{**parts, "classes": 2, **changes})


LOADS = 0


def fresh():
    global LOADS
    LOADS += 1
    return dataset(seed=LOADS)


MADE = "return Dataset(inputs, labels, held_out_inputs, held_out_labels, classes=10)"

FAULTY_TASKS = {
    "no data set": (
        "test_data", lambda: 3, None,
        f"load returned 3; expected a Dataset\n  for example: {MADE}",
    ),
    "double precision": (
        "test_data", lambda: dataset(inputs=np.zeros((20, 3))), None,
        "load gives inputs of type float64; expected a NumPy array of type float32\n"
        "  for example: inputs = np.asarray(inputs, dtype=np.float32)",
    ),
    "labels out of range": (
        "test_data", lambda: dataset(classes=1), None,
        "load gives what does not fit: the data: labels reach from 0 to 1; expected 0 to 0\n"
        f"  for example: {MADE}",
    ),
    "other network": (
        "test_network_fits_the_data", dataset, NetworkSpec(sizes=(4, 5, 2)),
        "network gives what does not fit: sizes 4-5-2 do not fit the data, which has 3 inputs and 2 "
        "classes; write sizes 3,5,2\n  for example: return options.network_for(64, 10)",
    ),
    "overlap": (
        "test_splits_do_not_overlap",
        lambda: dataset(held_out_inputs=dataset().inputs), None,
        "load gives 20 of 20 held-out points that are training points too; expected two parts that share no "
        "point\n  for example: return Dataset(x[:800], y[:800], x[800:], y[800:], classes=2)",
    ),
    "other data each time": (
        "test_seeds_decide_the_order", fresh, None,
        "load gives other inputs each time; expected the same data each time: draw them with a fixed seed, and "
        "leave the order of the training points to the seeds of the run\n"
        "  for example: source = np.random.default_rng(0)",
    ),
    "one point": (
        "test_seeds_decide_the_order", lambda: dataset(points=2), None,
        "load gives 1 training points, so that all seeds have the same order; expected more training points\n"
        f"  for example: {MADE}",
    ),
    "infinite": (
        "test_untrained_network_takes_the_data",
        dataset, NetworkSpec(sizes=(3, 4, 2), init="naive", init_std=1e38),
        "load gives inputs for which the untrained network has no finite output; expected inputs between 0 and "
        "1\n  for example: inputs = inputs / 255",
    ),
}  # fmt: skip


def task_of(load, network=None):
    class Mine(Task):
        spec = TaskSpec(name="mine", summary="of a test", options=NetworkOptions)

        def load(self, data_dir, options):
            return load()

        def network(self, options):
            return network or NetworkSpec(sizes=(3, 4, 2))

    return Mine


@pytest.mark.parametrize("fault", FAULTY_TASKS)
def test_a_faulty_task_fails_with_the_reason(fault):
    test, load, network, message = FAULTY_TASKS[fault]

    class Conformance(TaskConformance):
        task = task_of(load, network)

    with pytest.raises(AssertionError) as caught:
        getattr(Conformance(), test)()
    assert str(caught.value) == f"Mine: {message}"


def test_a_task_that_needs_the_network_each_time_is_found():
    loads = []

    def load():
        loads.append(1)
        if len(loads) > 1:
            import urllib.request

            urllib.request.urlopen("http://192.0.2.1/data", timeout=0.01)
        return dataset()

    class Conformance(TaskConformance):
        task = task_of(load)

    with pytest.raises(AssertionError) as caught:
        Conformance().test_needs_no_network_where_the_data_are_there()
    assert str(caught.value) == (
        "Mine: load needs the network though the data are there: URLError: <urlopen error the network "
        "is not to be used>; read the data from data_dir where they are, and download only "
        'else\n  for example: folder = data_dir.holding("my-task.npz")'
    )


def test_missing_data_are_no_fault_of_the_task():
    def load():
        raise DataError("no data in /nowhere")

    class Conformance(TaskConformance):
        task = task_of(load)

    with pytest.raises(DataError, match="no data in /nowhere"):
        Conformance().test_data()
