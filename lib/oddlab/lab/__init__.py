"""What makes a notebook pleasant: set-up, sliders, figures, exercises, numbers that are kept."""

from oddlab.lab.exercises import check
from oddlab.lab.figures import heat_map, show, subplots
from oddlab.lab.record import record
from oddlab.lab.session import setup, trainer
from oddlab.lab.source import show_source
from oddlab.lab.widgets import corners, explore

__all__ = [
    "check",
    "corners",
    "explore",
    "heat_map",
    "record",
    "setup",
    "show",
    "show_source",
    "subplots",
    "trainer",
]
