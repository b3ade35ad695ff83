"""DFKDE: the density of whole images among the good ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from oddlab.backbones import OFFLINE
from oddlab.kde import GaussianKDE
from oddlab.models.one_pass import CollectingModel, OnePassModule
from oddlab.models.patch_features import PatchFeatures
from oddlab.pca import PCA


class DFKDEModel(CollectingModel):
    """The network of :class:`DFKDE`, for use without Lightning: `fit_batch` on good images, then `finish_fit`."""

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.12",),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        n_components: int | float = 0.97,
        bandwidth: str | float = "scott",
    ) -> None:
        super().__init__()
        self.features = PatchFeatures(backbone, layers, pre_trained, image_size=image_size)
        self.pca = PCA(n_components)
        self.kde = GaussianKDE(bandwidth=bandwidth)

    def embed(self, images: Tensor) -> Tensor:
        """One vector of features (N, D) for each of images (N, 3, S, S) in [0, 1]: the mean over all positions."""
        return self.features(images).mean(dim=(2, 3))

    def fit(self, features: Tensor) -> None:
        """Fit the components, and the density of what the images are in them."""
        self.kde.fit(self.pca.fit_transform(features))

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N,) of images (N, 3, S, S): minus the log density."""
        return -self.kde.log_prob(self.pca.transform(self.embed(images)))


class DFKDE(OnePassModule):
    r"""Deep features and a kernel density: call an image anomalous that lies where few good ones do.

    .. math::
        s(x) = -\log \frac1N \sum_{n=1}^{N} \mathcal N\big(V^\top (\phi(x) - \mu);\; V^\top (\phi(x_n) - \mu),\; H\big)

    with :math:`\phi` the features of `layers`, each channel averaged over the image; V their leading principal
    components, as columns; and H the covariance of the kernel, see `GaussianKDE`. An image has one score and no map.

    Args:
        backbone: a name for `load_backbone`, or a module.
        layers: the layers whose features are joined.
        pre_trained: whether the backbone has ImageNet weights.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        n_components: how many components are kept, or which share of the variance; fewer than the good images.
        bandwidth: of the density, as for `GaussianKDE`.

    Raises `ValueError` for images of another size and arguments out of range, `NotFittedError` before a fit.

    Source: anomalib's model of the same name, which keeps 16 components and scales the features to at most unit length
    (that changes no order of the scores here, since the kernel's covariance follows the data's).

    Example:
        >>> import torch
        >>> model = DFKDE(image_size=64)
        >>> model.model.fit_batch(torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        >>> model.model.finish_fit()
        >>> model(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2])
    """

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.12",),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        n_components: int | float = 0.97,
        bandwidth: str | float = "scott",
    ) -> None:
        super().__init__()
        layers = list(layers)
        # A module cannot be stored in a checkpoint's hyperparameters; a name can, and then `load_from_checkpoint` works.
        self.save_hyperparameters(ignore=["backbone"] if isinstance(backbone, nn.Module) else None)
        self.model = DFKDEModel(
            backbone, layers, pre_trained, image_size=image_size, n_components=n_components, bandwidth=bandwidth
        )

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        return {**batch, "pred_scores": self(batch["image"])}
