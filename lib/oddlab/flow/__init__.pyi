# What `from oddlab.flow import ...` finds: read by editors, type checkers and `__init__.py`.
from .all_in_one_block import AllInOneBlock as AllInOneBlock
from .invertible import InvertibleModule as InvertibleModule
from .invertible import SequenceINN as SequenceINN
