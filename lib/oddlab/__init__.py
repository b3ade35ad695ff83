"""oddlab: the parts that visual anomaly detection is built from, to learn from and to experiment with."""

import lazy_loader

# Each part is imported when it is first used, so that `import oddlab` and the command start at once.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["data", "lab", "models"],
    submod_attrs={
        "anomaly_module": ["AnomalyModule"],
        "aupro": ["AUPRO"],
        "backbones": ["EfficientNetLite0", "load_backbone", "normalization"],
        "blur": ["GaussianBlur2d"],
        "dynamic_buffer": ["DynamicBufferModule"],
        "features": ["FeatureExtractor"],
        "gaussian": ["MultiVariateGaussian"],
        "models.padim": ["PaDiM"],
    },
)
__version__ = "0.1.0"
