"""The site of docs/, by Sphinx: ./build.sh docs."""

import re

import npufa

project = "npufa"
author = copyright = "the npufa authors"
version = release = npufa.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "index"
default_role = "code"

html_theme = "furo"
html_title = "npufa"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_show_copyright = False

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "imported-members": True, "special-members": "__call__"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Results", "params_style")]
add_module_names = False

NAMES = re.compile(r"(\s*\w+(?:, \w+)*,)$")
NAMED = re.compile(r"    \w+(?:, \w+)*: ")


def for_napoleon(app, what, name, obj, options, lines: list[str]) -> None:
    """What these docstrings write in another way than napoleon reads: argument names that run over a line, named
    results (a section of their own, "Results"), and examples that are indented only."""
    text: list[str] = []
    for line in lines:
        if text and NAMES.match(text[-1]):
            text[-1] += " " + line.strip()
            continue
        begins_example = len(text) > 1 and line.startswith("    ") and not text[-1] and text[-2][:1].strip()
        if begins_example and not text[-2].endswith("::"):
            text += ["::", ""]
        if text and text[-1] == "Returns:" and NAMED.match(line):
            text[-1] = "Results:"
        text.append(line)
    lines[:] = text


def setup(app) -> None:
    app.connect("autodoc-process-docstring", for_napoleon, priority=400)  # before napoleon
