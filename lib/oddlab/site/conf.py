"""What Sphinx is told; the folder of the sources is written by :mod:`oddlab.site.pages`."""

import oddlab

project = "oddlab"
html_title = "oddlab"
version = release = oddlab.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
include_patterns = ["*.md", "notebooks/**", "reference/**"]
exclude_patterns = ["notebooks/images/**"]

# Outputs come from the runs that `oddlab site` has made.
nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"
nb_render_text_lexer = "none"
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

default_role = "code"
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"

# MathJax in one file, so that formulas are there without a network.
mathjax_path = "mathjax/tex-svg-full.js"

html_theme = "sphinx_book_theme"
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
}
html_static_path = ["_static"]
html_css_files = ["oddlab.css"]
html_js_files = ["oddlab.js"]
html_context = {"default_mode": "auto"}
html_copy_source = False
html_show_search_summary = False  # a page opened from a disk may not read others
copybutton_exclude = ".linenos, .gp, .go"
