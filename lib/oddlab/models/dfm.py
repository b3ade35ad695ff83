"""DFM: what the principal components of good features cannot rebuild."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oddlab.backbones import OFFLINE
from oddlab.blur import GaussianBlur2d
from oddlab.models.one_pass import CollectingModel, OnePassModule
from oddlab.models.patch_features import PatchFeatures, anomaly_map
from oddlab.pca import PCA

SCORES = ("fre", "nll")


class DFMModel(CollectingModel):
    """The network of :class:`DFM`, for use without Lightning: `fit_batch` on good images, then `finish_fit`."""

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.12",),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        n_components: int | float = 0.97,
        score: str = "fre",
        sigma: float = 4.0,
    ) -> None:
        super().__init__()
        if score not in SCORES:
            raise ValueError(f"score: expected 'fre' or 'nll', got {score!r}")
        self.features = PatchFeatures(backbone, layers, pre_trained, image_size=image_size)
        self.pca = PCA(n_components)
        self.blur = GaussianBlur2d(None, sigma, channels=1)
        self.score = score

    def embed(self, images: Tensor) -> Tensor:
        """All features (N, D h w) of images (N, 3, S, S) in [0, 1], as one vector each."""
        return self.features(images).flatten(1)

    def fit(self, features: Tensor) -> None:
        """Fit the components."""
        self.pca.fit(features)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Anomaly maps (N, S, S) and scores (N,) of images (N, 3, S, S)."""
        features = self.embed(images)
        components = self.pca.transform(features)
        squared = (features - self.pca.inverse_transform(components)).square()
        by_position = squared.view(len(images), -1, *self.features.grid).sum(dim=1)
        maps = anomaly_map(by_position, self.features.image_size, self.blur)
        if self.score == "fre":
            return maps, squared.sum(dim=1)
        variance = self.pca.explained_variance
        return maps, 0.5 * (components.square() / variance + torch.log(2 * torch.pi * variance)).sum(dim=1)


class DFM(OnePassModule):
    r"""Deep feature modelling: call an image anomalous whose features good images' principal components do not rebuild.

    .. math::
        s_\mathrm{fre}(x) = \|\phi - \hat\phi\|^2, \qquad \hat\phi = \mu + V V^\top (\phi - \mu), \qquad
        s_\mathrm{nll}(x) = \tfrac12 \sum_{i=1}^{k} \Big(\frac{z_i^2}{\lambda_i} + \log 2\pi\lambda_i\Big), \quad
        z = V^\top (\phi - \mu)

    with :math:`\phi` all features of `layers` at all positions as one vector, V the k leading components of the good
    images', as columns, and :math:`\lambda_i` their variances. "fre", the feature reconstruction error, is what lies
    outside of the components; "nll", the negative log-likelihood, is how unusual the image is inside. Maps are the
    reconstruction error at every position, enlarged and blurred, whichever the score.

    Args:
        backbone: a name for `load_backbone`, or a module.
        layers: the layers whose features are joined.
        pre_trained: whether the backbone has ImageNet weights.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        n_components: k, or the share of the variance that k components must keep.
        score: "fre" or "nll".
        sigma: of the blur of the maps, in pixels of the image.

    Raises `ValueError` for images of another size and arguments out of range, `NotFittedError` before a fit.

    Source: Ahuja et al., Probabilistic modeling of deep features (arXiv 1909.11786) for "nll"; Ndiour et al., Subspace
    modeling for fast out-of-distribution and anomaly detection (arXiv 2203.10422) for "fre".

    Example:
        >>> model = DFM(image_size=64)
        >>> model.model.fit_batch(torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        >>> model.model.finish_fit()
        >>> maps, scores = model(torch.zeros(2, 3, 64, 64))
        >>> maps.shape, scores.shape
        (torch.Size([2, 64, 64]), torch.Size([2]))
    """

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.12",),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        n_components: int | float = 0.97,
        score: str = "fre",
        sigma: float = 4.0,
    ) -> None:
        super().__init__()
        layers = list(layers)
        # A module cannot be stored in a checkpoint's hyperparameters; a name can, and then `load_from_checkpoint` works.
        self.save_hyperparameters(ignore=["backbone"] if isinstance(backbone, nn.Module) else None)
        self.model = DFMModel(
            backbone,
            layers,
            pre_trained,
            image_size=image_size,
            n_components=n_components,
            score=score,
            sigma=sigma,
        )

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        maps, scores = self(batch["image"])
        return {**batch, "anomaly_maps": maps, "pred_scores": scores}
