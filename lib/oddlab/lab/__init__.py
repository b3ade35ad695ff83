"""What makes a notebook pleasant: set-up, sliders, figures, exercises, numbers that are kept."""

from importlib.util import find_spec

import lazy_loader

for package in ("ipywidgets", "matplotlib"):
    if find_spec(package) is None:
        raise ImportError(
            f"oddlab.lab needs more than the library (No module named {package!r}): pip install 'oddlab[lab]'"
        )

# Imported when first used: what runs notebooks needs no PyTorch, and starts at once.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
