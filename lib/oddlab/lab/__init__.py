"""What makes a notebook pleasant: set-up, sliders, figures, exercises, numbers that are kept."""

try:
    import ipywidgets  # noqa: F401
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError(f"oddlab.lab needs more than the library ({error}): pip install 'oddlab[lab]'") from error

from oddlab.lab.exercises import check
from oddlab.lab.figures import heat_map, show, subplots
from oddlab.lab.loops import features_of, train
from oddlab.lab.pictures import heat_map_grid, picture_grid, strip
from oddlab.lab.plots import diagram, loss_curve, seed_dots
from oddlab.lab.record import record
from oddlab.lab.session import setup, trainer
from oddlab.lab.source import show_source
from oddlab.lab.tables import NumberTable
from oddlab.lab.widgets import corners, explore

__all__ = [
    "NumberTable",
    "check",
    "corners",
    "diagram",
    "explore",
    "features_of",
    "heat_map",
    "heat_map_grid",
    "loss_curve",
    "picture_grid",
    "record",
    "seed_dots",
    "setup",
    "show",
    "show_source",
    "strip",
    "subplots",
    "train",
    "trainer",
]
