"""What the detectors look at: solar cells, textures with drawn defects, people's own folders, magnetic tiles, digits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "default": ["photographs"],
        "defects": ["DEFECTS", "draw_defect"],
        "digits": ["read_digits"],
        "download": ["DownloadError", "fetch"],
        "files": ["find_images"],
        "folders": ["read_folder"],
        "home": ["data_home"],
        "images": ["ImageDataset", "ImageFolder"],
        "magnetic_tiles": ["read_magnetic_tiles"],
        "masks": ["read_mask"],
        "modules": ["ImageData", "PredictData"],
        "reading": ["read_image"],
        "samples": ["Sample", "split"],
        "solar": ["read_solar"],
        "textures": ["TEXTURES", "texture_folder"],
    },
)
