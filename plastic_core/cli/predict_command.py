"""``plastic predict``: what the networks of a run answer to points in a file."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from plastic_core.base.errors import PlasticError
from plastic_core.base.files import expanded
from plastic_core.cli.flag_types import Texts, Whole

app = App(name="predict", help="Write what the networks of a run answer to points in a file.")


@app.default
def predict(
    run: Annotated[str, Parameter(show_default=False)],
    data: Annotated[str, Parameter(show_default=False)],
    *,
    to: str | None = None,
    seed: Whole | None = None,
    plugin: Texts = None,
) -> None:
    """Write what the networks of a run answer to points in a file.

    The table has a row for each point, in the order of the file: what all networks together answer
    (prediction: of classes the one that most of them give, of numbers the mean), how far they agree
    (agreement: the share of networks that say so; or std), and the answer of each by its seed.

    Args:
        run: the folder of a finished run.
        data: a file as 'plastic run --data' takes it, with the columns of the run, in any order; or
            a folder of images. What is to be predicted may be there, and is compared then.
        to: the table, .csv or .parquet; default predictions.csv in the folder of the run.
        seed: of a single network.
        plugin: file with an unpackaged plugin that the run names; may be repeated.
    """
    file = expanded(run) / "predictions.csv" if to is None else expanded(to)
    if file.suffix not in (".csv", ".parquet"):
        raise PlasticError(f"--to {to}: expected a table, .csv or .parquet")
    if file.resolve() == expanded(data).resolve():
        raise PlasticError(f"--to {to}: is the file with the points; write another name")
    from plastic_core.experiments.prediction import predict as predict_points
    from plastic_core.experiments.run_result import load
    from plastic_core.training.tables import write_table

    networks = load(run, plugins=plugin or ()).networks
    prediction = predict_points(networks if seed is None else networks.of(seed), data)
    write_table(prediction.table, file)
    for note in prediction.notes:
        print(note)
    print(f"{len(prediction.table):,} points, written to {file}")
