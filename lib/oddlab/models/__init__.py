"""Detectors, each of which puts parts of oddlab to work."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dfkde": ["DFKDE"],
        "dfm": ["DFM"],
        "fastflow": ["FastFlow"],
        "padim": ["PaDiM"],
        "patchcore": ["PatchCore"],
    },
)
