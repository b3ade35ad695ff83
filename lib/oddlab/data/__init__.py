"""What the detectors look at: textures with drawn defects, folders in MVTec AD's layout, magnetic tiles, digits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "defects": ["DEFECTS", "draw_defect"],
        "digits": ["read_digits"],
        "home": ["data_home"],
        "images": ["ImageData", "ImageDataset"],
        "samples": ["Sample", "read_folder", "read_magnetic_tiles", "split"],
        "textures": ["TEXTURES", "texture_folder"],
    },
)
