"""How Sphinx builds these pages: everything works offline, and every warning is an error."""

import sys
from pathlib import Path

from plastic_core import __version__
from plastic_core.plugins.scaffold import write_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "plastic"
author = "The plastic developers"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",
    "sphinx_autodoc_typehints",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "plastic_pages",
    "zoo_pages",
    "reproduced",
]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build", "examples", "tutorial"]

html_theme = "furo"
html_title = f"plastic {release}"
html_static_path = ["_static"]
html_css_files = ["plastic.css"]
html_show_sourcelink = False

sphinx_gallery_conf = {
    "examples_dirs": "tutorial",
    "gallery_dirs": "auto_tutorial",
    "filename_pattern": r"\.py$",
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "reset_modules": (),
}
suppress_warnings = ["config.cache"]

autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config"}
typehints_defaults = "comma"
always_use_bars_union = True
napoleon_use_ivar = True

# Names of other projects, whose pages cannot be looked up offline, and types of our own that are
# no part of the public interface.
nitpicky = True
default_role = "literal"  # names in docstrings stand in single backticks
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(torch|numpy|pydantic|xarray|xr|np|pluggy|os|pathlib|collections|typing|contextlib)\..*",
    ),
    (r"py:.*", r"(Tensor|NDArray|BaseModel|Path|Any|Self|Sequence|Callable|Mapping|array)"),
    (
        r"py:.*",
        r"(optional|Ellipsis|ConfigDict|FiniteFloat|PositiveInt|Annotated.*|annotated_types\..*)",
    ),
    (
        r"py:.*",
        r"plastic_core\.(results\.curves\.Curves|results\.run_record\.DataRecord|networks\.circuit\.Circuit|api\.update\.Part|plan\.plan\.Plan|experiments\.meta\.history\.History)",
    ),
]

# what `plastic new-task my-task` writes, to be shown
GENERATED = HERE / "_generated"
GENERATED.mkdir(exist_ok=True)
(GENERATED / "my_task.py").unlink(missing_ok=True)
write_file("task", "my-task", GENERATED).replace(GENERATED / "task.py")
