"""oddlab: the parts that visual anomaly detection is built from, to learn from and to experiment with."""

import lazy_loader

# Each part is imported when it is first used, so that `import oddlab` and the command start at once.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["data", "flow", "lab", "models"],
    submod_attrs={
        "anomaly_module": ["AnomalyModule"],
        "aupro": ["AUPRO"],
        "backbones": ["load_backbone", "normalization"],
        "blur": ["GaussianBlur2d"],
        "coreset": ["KCenterGreedy"],
        "dynamic_buffer": ["DynamicBufferModule"],
        "efficientnet_lite": ["EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"],
        "features": ["FeatureExtractor"],
        "flow.all_in_one_block": ["AllInOneBlock"],
        "flow.invertible": ["InvertibleModule", "SequenceINN"],
        "gaussian": ["MultiVariateGaussian"],
        "kde": ["GaussianKDE"],
        "models.dfkde": ["DFKDE"],
        "models.dfm": ["DFM"],
        "models.fastflow": ["FastFlow"],
        "models.padim": ["PaDiM"],
        "models.patchcore": ["PatchCore"],
        "pca": ["PCA"],
        "prediction": ["PredictionWriter", "predict"],
        "random_projection": ["SparseRandomProjection", "johnson_lindenstrauss_min_dim"],
        "sspcab": ["SSPCAB"],
    },
)
__version__ = "0.2.0"
