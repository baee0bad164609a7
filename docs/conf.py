"""The pages: `sphinx-build -W -n -b html docs build/docs`, with the extra `docs`."""

import os
import sys
from pathlib import Path

import evenflow

os.environ.setdefault("KERAS_BACKEND", "torch")  # which the layer of evenflow.keras needs
sys.path.insert(0, str(Path(__file__).parent))

project = "evenflow"
author = "the authors of evenflow"
version = release = evenflow.__version__

extensions = ["sphinx.ext.autodoc", "myst_parser", "docstrings"]
exclude_patterns = ["build"]
html_theme = "furo"
html_title = f"evenflow {version}"
html_copy_source = False
html_show_copyright = False
templates_path: list[str] = []

# Formulas stand as they were written: f'(x) has no apostrophe.
smartquotes = False
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # a method that is told of in the base class is told of there
autodoc_type_aliases = {name: name for name in ("Array", "ArrayLike", "Inputs", "LearningRate", "NDArray", "Shape")}
python_use_unqualified_type_names = True
maximum_signature_line_length = 90
toc_object_entries_show_parents = "hide"

# What a page refers to must exist; types in signatures are other packages' as often as not, and lead nowhere.
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]
