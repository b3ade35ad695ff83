# What `from oddlab import ...` finds, for editors and type checkers; a test compares it with `__init__.py`.
from oddlab import data as data
from oddlab import flow as flow
from oddlab import lab as lab
from oddlab import models as models
from oddlab.anomaly_module import AnomalyModule as AnomalyModule
from oddlab.aupro import AUPRO as AUPRO
from oddlab.backbones import load_backbone as load_backbone
from oddlab.backbones import normalization as normalization
from oddlab.blur import GaussianBlur2d as GaussianBlur2d
from oddlab.coreset import KCenterGreedy as KCenterGreedy
from oddlab.dynamic_buffer import DynamicBufferModule as DynamicBufferModule
from oddlab.efficientnet_lite import EfficientNetLite0 as EfficientNetLite0
from oddlab.efficientnet_lite import EfficientNetLite1 as EfficientNetLite1
from oddlab.efficientnet_lite import EfficientNetLite2 as EfficientNetLite2
from oddlab.features import FeatureExtractor as FeatureExtractor
from oddlab.flow.all_in_one_block import AllInOneBlock as AllInOneBlock
from oddlab.flow.invertible import InvertibleModule as InvertibleModule
from oddlab.flow.invertible import SequenceINN as SequenceINN
from oddlab.gaussian import MultiVariateGaussian as MultiVariateGaussian
from oddlab.kde import GaussianKDE as GaussianKDE
from oddlab.models.dfkde import DFKDE as DFKDE
from oddlab.models.dfm import DFM as DFM
from oddlab.models.fastflow import FastFlow as FastFlow
from oddlab.models.padim import PaDiM as PaDiM
from oddlab.models.patchcore import PatchCore as PatchCore
from oddlab.pca import PCA as PCA
from oddlab.prediction import PredictionWriter as PredictionWriter
from oddlab.prediction import predict as predict
from oddlab.random_projection import SparseRandomProjection as SparseRandomProjection
from oddlab.random_projection import johnson_lindenstrauss_min_dim as johnson_lindenstrauss_min_dim
from oddlab.sspcab import SSPCAB as SSPCAB

__version__: str
