"""Normalizing flows: the all-in-one block, and the parts that it is made of."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "all_in_one_block": ["AllInOneBlock"],
        "invertible": ["InvertibleModule", "SequenceINN"],
    },
)
