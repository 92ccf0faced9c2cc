"""Observers of the tests, and small runs for them to see."""

from plastic_core import RunSpec
from plastic_core.api import Observer, ObserverSpec

SMALL = {"samples": 80, "evaluations": 4, "options": {"sizes": [64, 8, 10]}}
FLAGS = ["--seeds", "2", "--samples", "80", "--evaluations", "4", "--sizes", "64,8,10"]
METHODS = ["on_plan", "on_point", "on_result"]


def small(**more):
    return RunSpec(**{"rule": "bp", "seeds": 2, **SMALL, **more})


class Seen(Observer):
    """Keeps all that it is given."""

    spec = ObserverSpec(name="seen", summary="keeps all that it is given")

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_plan(self, run):
        self.calls.append(("on_plan", run))

    def on_point(self, run, point):
        self.calls.append(("on_point", run, point))

    def on_result(self, run):
        self.calls.append(("on_result", run))

    @property
    def methods(self):
        return [call[0] for call in self.calls]

    @property
    def points(self):
        return [call[2] for call in self.calls if call[0] == "on_point"]


class Raising(Seen):
    """Raises at one of its methods."""

    spec = ObserverSpec(name="raising", summary="raises")

    def __init__(self, method, error):
        super().__init__()
        self._error = error
        setattr(self, method, self._raise)

    def _raise(self, *_):
        self.calls.append(("raised",))
        raise self._error


#: As a file for --plugin: what it does in each method is put in.
SOURCE = """
from pydantic import BaseModel
from plastic_core.api import Observer, ObserverSpec

class Params(BaseModel):
    text: str = "nothing"

class Mine(Observer):
    spec = ObserverSpec(name="{name}", summary="of a stranger", params=Params{more})

    def on_plan(self, run):
        {plan}

    def on_point(self, run, point):
        {point}

    def on_result(self, run):
        {result}
"""


def observer_file(folder, name="mine", more="", plan="pass", point="pass", result="pass"):
    """Write a file with one observer, and return its path."""
    file = folder / "mine.py"
    source = SOURCE.format(name=name, more=more, plan=plan, point=point, result=result)
    file.write_text(source)
    return file
