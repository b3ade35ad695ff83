# What `from oddlab.models import ...` finds: read by editors, type checkers and `__init__.py`.
from .dfkde import DFKDE as DFKDE
from .dfm import DFM as DFM
from .fastflow import FastFlow as FastFlow
from .padim import PaDiM as PaDiM
from .patchcore import PatchCore as PatchCore
