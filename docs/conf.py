# SPDX-License-Identifier: Apache-2.0
"""How Sphinx makes a site of README.md, docs/ and the docstrings: ``make docs``.

Its source folder is the checkout, so that links between pages are those that work on GitHub.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scam.version import __version__

project = "scam"
release = __version__
copyright = "the scam authors, Apache-2.0"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**",
    "benchmarks/README.md",
    "examples/README.md",
    "kernels/README.md",
]
exclude_patterns = [".*", "build", "csrc", "dist", "runs", "scam", "tests", "**/__pycache__"]

myst_heading_anchors = 4  # the anchors that GitHub gives to headings
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_rtype = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"scam {release}"
