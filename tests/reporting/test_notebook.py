"""What a notebook shows of runs, sweeps, rules and specifications: whole, and no name is markup."""

import base64
from html.parser import HTMLParser

import pytest
from pydantic import BaseModel

import plastic_core.figures
from plastic_core import RunSpec, Store, SweepSpec, run, sweep
from plastic_core.api import Rule, RuleSpec, State, Theta, hookimpl, outer
from plastic_core.cli import execute

HOSTILE = "<script>alert('x')</script>\"'><b>&amp;"
SMALL = {"seeds": 2, "samples": 40, "evaluations": 2, "options": {"sizes": [64, 8, 10]}}


class Params(BaseModel):
    gain: str = HOSTILE


class Hostile(Rule):
    """A rule whose texts are markup."""

    spec = RuleSpec(
        name="hostile",
        summary=HOSTILE,
        equation=HOSTILE,
        reference=HOSTILE,
        modifies="forward",
        reads={"post", "pre"},
        theta=Theta(default=1e-3),
        params=Params,
        state={"trace": State(over="post", initial=0.5)},
    )

    @hookimpl
    def plastic_local_update(self, s):
        return outer(s.post, s.pre), {"trace": s.state.trace}


class Shown(HTMLParser):
    """The elements, the rows of the tables, the paragraphs and the pictures of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.rows, self.paragraphs, self.pictures = set(), [], [], []
        self._text = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "img":
            self.pictures.append(dict(attributes)["src"])
        self._text = ""

    def handle_data(self, data):
        self._text += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self._text)
        if tag == "p":
            self.paragraphs.append(self._text)


ELEMENTS = {"table", "tr", "th", "td", "p", "img"}


def shown(thing):
    page = Shown(thing._repr_html_())
    assert page.tags <= ELEMENTS
    return page


def test_a_run_shows_its_table_its_curve_and_its_folder(tmp_path, capsys):
    out = tmp_path / "a <b>run</b>"
    result = run(RunSpec(rule="1e30*bp", **SMALL), out=out)
    page = shown(result)
    headers, row = page.rows
    assert headers == ["rule", "accuracy %", "low", "high", "seeds", "diverged", "seconds"]
    assert row[:6] == ["1e30*bp", "10.00", "10.00", "10.00", "2", "2"]
    (picture,) = page.pictures
    kind, _, content = picture.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content, validate=True).startswith(b"\x89PNG")
    assert page.paragraphs[-1] == f"written to {out}"
    assert any(
        line.startswith("diverged, counted at chance level: seed 0") for line in page.paragraphs
    )
    assert any(line.startswith("note: evaluations use") for line in page.paragraphs)
    # the command says the same of it
    assert execute(["run", str(out / "run.json"), "--out", str(out), "--resume"]) == 0
    printed = capsys.readouterr().out
    assert all(line in printed for line in page.paragraphs)
    assert all(cell in printed for cell in row)


def test_a_run_without_a_folder_and_one_that_is_read_again(tmp_path):
    assert not any("written" in line for line in shown(run(RunSpec(**SMALL))).paragraphs)
    first = run(RunSpec(**SMALL), out=tmp_path)
    again = run(RunSpec(**SMALL), out=tmp_path, resume=True)
    assert again._repr_html_() == first._repr_html_()


def test_a_run_that_is_planned_says_so():
    planned = []
    run(RunSpec(**SMALL), on_plan=planned.append)
    assert shown(planned[0]).paragraphs == ["oja+bp on digits-mlp: not trained yet"]


def test_a_curve_that_cannot_be_drawn_is_said(monkeypatch):
    def fail(*_):
        raise RuntimeError("no <font>")

    result = run(RunSpec(**SMALL))
    monkeypatch.setattr(plastic_core.figures, "draw_learning_curve", fail)
    page = shown(result)
    assert page.pictures == []
    assert page.paragraphs[0] == "the learning curve was not drawn: RuntimeError: no <font>"


def test_a_sweep_shows_the_best_points_of_each_rule(tmp_path):
    grid = {"bp.theta": [0.05, 1e30, 0.01, 0.02, 0.03, 0.04]}
    result = sweep(SweepSpec(rules=("bp",), grid=grid, base=RunSpec(**SMALL)), Store(tmp_path))
    page = shown(result)
    headers, *rows = page.rows
    assert headers == ["rule", "point", "accuracy %", "low", "high", "seeds", "diverged"]
    assert len(rows) == 5
    assert "bp.theta 1e+30" not in {row[1] for row in rows}
    scores = [float(row[2]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert page.paragraphs == [
        "the best 5 points of each rule",
        "12 networks: 0 from the store, 12 trained, 0 failed",
    ]


def test_a_rule_shows_equation_parameters_hooks_and_source():
    page = shown(Hostile())
    assert page.paragraphs == [f"hostile: {HOSTILE}", rf"$\displaystyle {HOSTILE}$"]
    assert page.rows == [
        ["source", HOSTILE],
        ["theta", "default 0.001; a finite number of at least 0"],
        ["modifies", "forward"],
        ["reads", "post, pre"],
        ["propagates", "no"],
        ["feedback", "none"],
        ["state trace", "over post, initially 0.5"],
        ["gain", HOSTILE],
        ["hooks", "plastic_local_update"],
    ]


@pytest.mark.parametrize("spec", [Hostile.spec, RunSpec(rule=HOSTILE), SweepSpec(rules=(HOSTILE,))])
def test_a_specification_shows_its_fields(spec):
    page = shown(spec)
    assert page.paragraphs == [type(spec).__name__]
    fields = dict(page.rows)
    assert list(fields) == [*type(spec).model_fields]
    assert any(HOSTILE in value or repr(HOSTILE) in value for value in fields.values())
    assert fields.get("reads", "post, pre") == "post, pre"


def test_the_names_of_a_run_are_no_markup(tmp_path):
    result = run(RunSpec(rule="bp+hostile", **SMALL), rules=[Hostile])
    result.record["result"]["rule"] = HOSTILE
    result.record["result"]["notes"].append(HOSTILE)
    page = shown(result)
    assert page.rows[1][0] == HOSTILE
    assert f"note: {HOSTILE}" in page.paragraphs
