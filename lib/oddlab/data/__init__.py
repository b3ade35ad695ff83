"""What the detectors look at: solar cells, textures with drawn defects, own folders, magnetic tiles, digits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
