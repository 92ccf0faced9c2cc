"""``plastic report``: one page, whole by itself, in which nothing from a file is executed."""

import json
import re
import shutil

import pytest

from plastic_core.cli import execute
from tests.docs.test_pages import chromium

EVIL = (
    "<script>document.title = 'executed'</script><img src=x onerror=\"document.title='executed'\">"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folders of a run and of a figure."""
    folder = tmp_path_factory.mktemp("report")
    run = ["run", "--rule", "oja+bp", "--seeds", "2", "--samples", "60", "--evaluations", "3"]
    assert execute([*run, "--out", str(folder / "a run")]) == 0
    shutil.copytree(folder / "a run", folder / "fig1a")
    (folder / "fig1a" / "run.json").unlink()
    (folder / "fig1a" / "learning_curve.png").rename(folder / "fig1a" / "fig1a.png")
    verdict = {"verdict": "holds", "first": 0.8, "second": 0.7, "difference": 0.1, "low": 0.05,
               "high": 0.15, "wins": 3, "n": 3, "left_out": 0}  # fmt: skip
    claim = {"text": "Oja's rule helps", "measure": "accuracy", "network": "5 layers",
             "arms": ["BP+Oja", "BP"]}  # fmt: skip
    arm = {"label": "BP", "rule": "bp", "thetas": {"bp": 0.01}}
    report = {
        "figure": "fig1a",
        "title": "Online learning",
        "command": "plastic reproduce fig1a --seeds 3",
        "environment": {"python": "3.12", "git_commit": None},
        "small": True,
        "networks": {"5 layers": {"options": {"layers": 5}, "arms": [arm]}},
        "base": {"seeds": 3, "samples": 200},
        "claims": [{**claim, "verdicts": [verdict, {"verdict": "does not hold", "n": 0}]}],
    }
    (folder / "fig1a" / "claims.json").write_text(json.dumps(report))
    return folder


def edited(folder, name, change):
    """Change the record in a folder by a function."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def copied(made, tmp_path, name):
    shutil.copytree(made / name, tmp_path / name)
    return tmp_path / name


def test_a_page_that_is_whole_by_itself(made, tmp_path, capsys):
    page = tmp_path / "sub" / "page.html"
    folders = [str(made / "a run"), str(made / "fig1a")]
    assert execute(["report", *folders, "--out", str(page)]) == 0
    assert capsys.readouterr().out == f"written to {page}\n"
    text = page.read_text()
    # nothing is loaded from anywhere
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "url(" not in text
    assert "<script" not in text
    shown = chromium(page.as_uri())
    assert shown.count("<h1>") == 2
    assert f"plastic run '{made}/a run/run.json'" in shown
    assert "plastic reproduce fig1a --seeds 3" in shown
    for cell in ("oja+bp", "+0.1", "0.05 to 0.15", "3 of 3", "holds", "does not hold", "0 of 0"):
        assert f">{cell}</td>" in shown, cell


def test_the_images_are_loaded(made, tmp_path):
    page = tmp_path / "page.html"
    assert execute(["report", str(made / "a run"), str(made / "fig1a"), "--out", str(page)]) == 0
    look = "<script>document.title = [...document.images].map(i => i.naturalWidth > 100).join()</script>"
    page.write_text(page.read_text().replace("</body>", look + "</body>"))
    assert "<title>true,true</title>" in chromium(page.as_uri())


def test_nothing_from_a_file_is_executed(made, tmp_path):
    run, figure = copied(made, tmp_path, "a run"), copied(made, tmp_path, "fig1a")

    def spoil_run(record):
        record["spec"]["rule"] = record["spec"]["options"]["evil"] = EVIL
        record["notes"] = [EVIL]
        record["rules"][0]["name"] = record["environment"]["python"] = EVIL

    def spoil_figure(report):
        report["title"] = report["command"] = report["claims"][0]["text"] = EVIL
        report["networks"][EVIL] = report["networks"].pop("5 layers")

    edited(run, "run.json", spoil_run)
    edited(figure, "claims.json", spoil_figure)
    page = tmp_path / "page.html"
    assert execute(["report", str(run), str(figure), "--out", str(page)]) == 0
    assert page.read_text().count("&lt;script&gt;") >= 9
    assert "<script" not in page.read_text()
    assert "<title>executed</title>" not in chromium(page.as_uri())


def test_an_unfinished_run(made, tmp_path, capsys):
    run = copied(made, tmp_path, "a run")
    edited(run, "run.json", lambda record: record.pop("result"))
    assert execute(["report", str(run), "--out", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err == (
        f"plastic: {run / 'run.json'}: is no record of something finished (KeyError: 'result'); "
        "finish the run by 'plastic run --resume --out DIR'\n"
    )
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("content", ["", "[]", "3", '{"spec": {}}', '{"spec": 3, "result": 4}'])
@pytest.mark.parametrize("name", ["run.json", "claims.json"])
def test_damaged_records(name, content, tmp_path, capsys):
    (tmp_path / name).write_text(content)
    assert execute(["report", str(tmp_path), "--out", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"plastic: {tmp_path / name}: ")
    assert len(error.splitlines()) == 1


def test_a_figure_that_is_missing(made, tmp_path, capsys):
    figure = copied(made, tmp_path, "fig1a")
    (figure / "fig1a.png").unlink()
    assert execute(["report", str(figure)]) == 2
    assert capsys.readouterr().err == (
        f"plastic: {figure / 'fig1a.png'}: cannot be read (No such file or directory); "
        "make it again\n"
    )


def test_a_folder_of_something_else(tmp_path, capsys):
    assert execute(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"plastic: {tmp_path}: is the folder of neither a run nor a figure; expected one with "
        "run.json, from 'plastic run', or claims.json, from 'plastic reproduce'\n"
    )


def test_a_record_is_not_written_over(made, tmp_path, capsys):
    run = copied(made, tmp_path, "a run")
    before = (run / "run.json").read_text()
    assert execute(["report", str(run), "--out", str(run / "run.json")]) == 2
    assert capsys.readouterr().err == (
        f"plastic: --out {run / 'run.json'}: is no name of a page; expected one that ends in "
        ".html\n"
    )
    assert (run / "run.json").read_text() == before


def test_a_figure_called_after_another_file(made, tmp_path, capsys):
    figure = copied(made, tmp_path, "fig1a")
    edited(figure, "claims.json", lambda report: report.update(figure="../secret"))
    assert execute(["report", str(figure)]) == 2
    assert "figure is called '../secret'" in capsys.readouterr().err


def test_no_folder(capsys):
    assert execute(["report"]) == 2
    assert capsys.readouterr().err == (
        "plastic: report: name the folders of runs or figures, such as runs/SOME-RUN\n"
    )


def test_a_file_that_cannot_be_written(made, tmp_path, capsys):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "page.html"
    assert execute(["report", str(made / "a run"), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"plastic: {out}: cannot be written: ")
