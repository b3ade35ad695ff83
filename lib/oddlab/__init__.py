"""oddlab: the parts that visual anomaly detection is built from, to learn from and to experiment with."""

import lazy_loader

# Each part is imported when it is first used, so that `import oddlab` and the command start at once.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.3.0"
