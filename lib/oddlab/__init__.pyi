# What `from oddlab import ...` finds: read by editors, type checkers and `__init__.py`.
from . import data as data
from . import flow as flow
from . import lab as lab
from . import models as models
from .anomaly_module import AnomalyModule as AnomalyModule
from .aupro import AUPRO as AUPRO
from .backbones import load_backbone as load_backbone
from .backbones import normalization as normalization
from .blur import GaussianBlur2d as GaussianBlur2d
from .coreset import KCenterGreedy as KCenterGreedy
from .dynamic_buffer import DynamicBufferModule as DynamicBufferModule
from .efficientnet_lite import EfficientNetLite0 as EfficientNetLite0
from .efficientnet_lite import EfficientNetLite1 as EfficientNetLite1
from .efficientnet_lite import EfficientNetLite2 as EfficientNetLite2
from .features import FeatureExtractor as FeatureExtractor
from .flow.all_in_one_block import AllInOneBlock as AllInOneBlock
from .flow.invertible import InvertibleModule as InvertibleModule
from .flow.invertible import SequenceINN as SequenceINN
from .gaussian import MultiVariateGaussian as MultiVariateGaussian
from .kde import GaussianKDE as GaussianKDE
from .models.dfkde import DFKDE as DFKDE
from .models.dfm import DFM as DFM
from .models.fastflow import FastFlow as FastFlow
from .models.padim import PaDiM as PaDiM
from .models.patchcore import PatchCore as PatchCore
from .pca import PCA as PCA
from .prediction import PredictionWriter as PredictionWriter
from .prediction import predict as predict
from .random_projection import SparseRandomProjection as SparseRandomProjection
from .random_projection import johnson_lindenstrauss_min_dim as johnson_lindenstrauss_min_dim
from .sspcab import SSPCAB as SSPCAB

__version__: str
