"""The documentation builds without a warning, reads offline, and leaves no public name out."""

import doctest
import os
import pickle
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from docutils import nodes

import plastic_core
from plastic_core import api, testing
from plastic_core.cli import _app
from plastic_core.plugins.catalogue import Catalogue
from tests.conftest import made_once
from tests.processes import HANGS

DOCS = Path(__file__).parents[2] / "docs"


def read_pages(folder, builder, *more):
    """Read a copy of the pages into a folder, by one of Sphinx's builders."""
    generated = shutil.ignore_patterns("_build", "_generated", "auto_*", "__pycache__")
    shutil.copytree(DOCS, folder / "docs", ignore=generated)
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q"]
    command += ["-b", builder, "-d", folder / "doctrees", folder / "docs", folder / builder, *more]
    # deprecations among Sphinx's extensions are theirs
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def tried(tmp_path_factory):
    """Return a folder with the pages as they were read, and what came of their examples."""
    # the tutorial is executed for the site
    short = ("-D", "plot_gallery=0")
    return made_once(tmp_path_factory, "tried", lambda to: read_pages(to, "doctest", *short))


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Return the folder of the site."""
    made = made_once(tmp_path_factory, "pages", lambda to: read_pages(to, "html"))
    return made / "html"


class Page(HTMLParser):
    """The links, the anchors and the resources of one page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors, self.resources = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found.get("id"), found.get("name")}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img") and found.get("src"):
            self.resources.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preload"):
            self.resources.append(found["href"])


def broken_links(site):
    """Return what leads nowhere within the site, and what would need a network to be shown."""
    pages = {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    broken = []
    for path, page in pages.items():
        for url in page.links + page.resources:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                if url in page.resources and parts.scheme != "data":
                    broken.append((path.name, url))
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            there = target.is_file() and (
                not anchor or target not in pages or anchor in pages[target].anchors
            )
            if not there:
                broken.append((path.name, url))
    return broken


def chromium(url):
    """Return the page as a browser without a network shows it, scripts run."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("needs chromium, from the system's packages")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += ["--allow-file-access-from-files", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr
    return done.stdout


PAGES = [*DOCS.rglob("*.md"), *DOCS.rglob("*.rst")]
EXAMPLES = {"howto/notebook.md": 1, "howto/train_on_numbers.md": 1}


def test_each_public_name_stands_in_a_page():
    """As a directive, which Sphinx turns into its documentation among the slow tests."""
    pattern = re.compile(r"^\s*\.\. (?:auto|py:)\w+:: ([\w.]+)", re.MULTILINE)
    documented = {name for page in PAGES for name in pattern.findall(page.read_text("utf-8"))}
    for module in (plastic_core, api, testing):
        for name in module.__all__:
            homes = {f"{module.__name__}.{name}", f"plastic_core.api.{name}", name}
            assert documented & homes, name


@pytest.mark.parametrize("page", EXAMPLES)
def test_the_examples_of_a_page_work(page):
    blocks = re.findall(r"^```{doctest}\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.M | re.S)
    assert len(blocks) == EXAMPLES[page]
    example = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, page, page, 0)
    done = doctest.DocTestRunner().run(example)
    assert (done.failed, done.attempted >= 5) == (0, True)


@pytest.mark.slow
def test_the_pages_leave_no_public_name_and_no_rule_out(tried):
    read = tried / "doctrees"  # of our own making, so that it may be unpickled
    environment = pickle.loads((read / "environment.pickle").read_bytes())
    documented = environment.domaindata["py"]["objects"]
    for module in (plastic_core, api, testing):
        for name in module.__all__:
            homes = (module.__name__, "plastic_core.api")
            assert any(f"{home}.{name}" in documented for home in homes), name
    rules = pickle.loads((read / "reference" / "rules.doctree").read_bytes())
    shown = {name for section in rules.findall(nodes.section) for name in section["ids"]}
    assert {entry.name for entry in built_in()} <= shown


@pytest.mark.slow
def test_the_examples_in_the_pages_work(tried):
    summary = (tried / "doctest" / "output.txt").read_text(encoding="utf-8")
    assert int(re.search(r"(\d+) tests?\n", summary[summary.index("Doctest summary") :])[1]) >= 20


def built_in():
    found = [e for e in Catalogue().entries("rule") if e.distribution == "plastic-learning"]
    assert len(found) >= 14
    return found


@pytest.mark.slow
def test_the_site_is_whole_and_shows_its_equations_offline(site):
    assert broken_links(site) == []
    rules = chromium((site / "reference" / "rules.html").as_uri())
    formulas = rules.count('class="math notranslate')
    assert formulas >= 2 * len(built_in())
    assert rules.count("<mjx-container") == formulas
    assert "<mjx-merror" not in rules
    found = chromium((site / "search.html").as_uri() + "?q=threshold")
    assert re.search(r"found \d+ pages? matching", found)
    assert 'href="reference/hooks.html' in found


def test_every_command_has_its_help_in_the_pages():
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        from plastic_pages import COMMANDS
    finally:
        sys.path.pop(0)
    commands = {name for name in _app(["run"]) if not name.startswith("-")}
    assert commands == {command.split()[0] for command in COMMANDS}
