"""How people use oddlab, read by pyright and not run: every class is found by name, and what calls return is known."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from typing_extensions import assert_type

from oddlab import (
    AUPRO,
    DFKDE,
    DFM,
    PCA,
    SSPCAB,
    AllInOneBlock,
    AnomalyModule,
    EfficientNetLite0,
    FastFlow,
    FeatureExtractor,
    GaussianKDE,
    KCenterGreedy,
    MultiVariateGaussian,
    PaDiM,
    PatchCore,
    PredictionWriter,
    SequenceINN,
    SparseRandomProjection,
    johnson_lindenstrauss_min_dim,
    load_backbone,
    predict,
)
from oddlab.data import ImageData, PredictData, read_folder, read_solar
from oddlab.lab import explore, record, subplots, trainer

x = torch.rand(8, 4)

pca = PCA(n_components=2)
assert_type(pca.fit(x), PCA)
assert_type(pca.transform(x), Tensor)
assert_type(GaussianKDE(x).log_prob(x), Tensor)
assert_type(SparseRandomProjection(eps=0.5, random_state=0).fit(x).transform(x), Tensor)
assert_type(KCenterGreedy(x, sampling_ratio=0.5).sample_coreset(), Tensor)
assert_type(johnson_lindenstrauss_min_dim(100, 0.5), int)
assert_type(load_backbone("efficientnet_lite0"), torch.nn.Module)

flow = SequenceINN(4)
flow.append(AllInOneBlock, subnet_constructor=lambda a, b: torch.nn.Linear(a, b))
assert_type(flow.log_prob(x), Tensor)

detectors: list[AnomalyModule] = [PaDiM(image_size=64), PatchCore(sampling_ratio=0.1), DFKDE(), DFM(), FastFlow()]
padim = PaDiM("resnet18", ["layer1"], weights="resnet18.pth", image_size=128, random_state=0)
assert_type(padim, PaDiM)
padim.fit_batch(torch.rand(4, 3, 128, 128)).finish_fit()

train, test = read_folder("bolts")
good, validation, judged = read_solar("mono", random_state=1)
data = ImageData(good, judged, val=validation, image_size=64)
fitting = pl.Trainer(max_epochs=1)
fitting.fit(padim, data)
fitting.predict(padim, PredictData(Path("new"), image_size=64))
assert_type(predict(padim, "new", "found"), Path)

others = (AUPRO, SSPCAB, EfficientNetLite0, FeatureExtractor, MultiVariateGaussian, PredictionWriter)
figure, axes = subplots(1, 2)
record(auroc=0.5)
explore(lambda sigma=1.0: figure, sigma=(0.5, 2.0))
trainer("cpu", max_epochs=2)
