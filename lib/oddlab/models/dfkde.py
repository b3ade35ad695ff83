"""DFKDE: the density of whole images among the good ones."""

from __future__ import annotations

import os
from collections.abc import Sequence

from torch import Tensor, nn

from oddlab.backbones import OFFLINE, path_of
from oddlab.kde import GaussianKDE
from oddlab.models.one_pass import CollectingDetector
from oddlab.models.patch_features import PatchFeatures
from oddlab.pca import PCA


class DFKDE(CollectingDetector):
    r"""Deep features and a kernel density: call an image anomalous that lies where few good ones do.

    .. math::
        s(x) = -\log \frac1N \sum_{n=1}^{N} \mathcal N\big(V^\top (\phi(x) - \mu);\; V^\top (\phi(x_n) - \mu),\; H\big)

    with :math:`\phi` the features of `layers`, each channel averaged over the image; V their leading principal
    components, as columns; and H the covariance of the kernel, see `GaussianKDE`.

    Args:
        backbone: a name for `load_backbone`, or a module, of which a copy is used.
        layers: the layers whose features are joined.
        pre_trained: whether the backbone has ImageNet weights.
        weights: the path of a file with other weights for the backbone, see `load_backbone`.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        n_components: how many components are kept, or which share of the variance; fewer than the good images.
        bandwidth: of the density, as for `GaussianKDE`.

    Called on images it returns `pred_scores` (N,): an image has one score and no map.

    Raises `ValueError` for images of another size and arguments out of range, `NotFittedError` before a fit.

    Source: anomalib's model of the same name, which keeps 16 components and scales the features to at most unit length
    (that changes no order of the scores here, since the kernel's covariance follows the data's).

    Example:
        >>> import torch
        >>> model = DFKDE(image_size=64)
        >>> images = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> model.fit_batch(images).finish_fit()(torch.zeros(2, 3, 64, 64))["pred_scores"].shape
        torch.Size([2])
    """

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.12",),
        pre_trained: bool = True,
        *,
        weights: str | os.PathLike[str] | None = None,
        image_size: int = 224,
        n_components: int | float = 0.97,
        bandwidth: str | float = "scott",
    ) -> None:
        super().__init__()
        weights = path_of(weights)
        self.keep_arguments(locals())
        self.features = PatchFeatures(backbone, layers, pre_trained, weights=weights, image_size=image_size)
        self.pca = PCA(n_components)
        self.kde = GaussianKDE(bandwidth=bandwidth)

    @property
    def is_fitted(self) -> bool:
        return self.kde.is_fitted

    def embed(self, images: Tensor) -> Tensor:
        """One vector of features (N, D) for each of images (N, 3, S, S) in [0, 1]: the mean over all positions."""
        return self.features(images).mean(dim=(2, 3))

    def fit_features(self, features: Tensor) -> None:
        """Fit the components to `features` (N, D), and the density to what the images are in them."""
        self.kde.fit(self.pca.fit_transform(features))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Scores (N,) of images (N, 3, S, S): minus the log density."""
        return {"pred_scores": -self.kde.log_prob(self.pca.transform(self.embed(images)))}
