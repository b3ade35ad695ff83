"""DFM: what the principal components of good features cannot rebuild."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oddlab.backbones import OFFLINE, path_of
from oddlab.models.one_pass import CollectingDetector
from oddlab.models.patch_features import PatchFeatures, anomaly_map, smoothing
from oddlab.pca import PCA

SCORES = ("fre", "nll")


class DFM(CollectingDetector):
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
        backbone: a name for `load_backbone`, or a module, of which a copy is used.
        layers: the layers whose features are joined.
        pre_trained: whether the backbone has ImageNet weights.
        weights: the path of a file with other weights for the backbone, see `load_backbone`.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        n_components: k, or the share of the variance that k components must keep.
        score: "fre" or "nll".
        sigma: of the blur of the maps, in pixels of the image; 0 for none.

    Called on images it returns `anomaly_maps` (N, S, S) and `pred_scores` (N,).

    Raises `ValueError` for images of another size and arguments out of range, `NotFittedError` before a fit.

    Source: Ahuja et al., Probabilistic modeling of deep features (arXiv 1909.11786) for "nll"; Ndiour et al., Subspace
    modeling for fast out-of-distribution and anomaly detection (arXiv 2203.10422) for "fre".

    Example:
        >>> model = DFM(image_size=64)
        >>> images = torch.rand(12, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> found = model.fit_batch(images).finish_fit()(torch.zeros(2, 3, 64, 64))
        >>> found["anomaly_maps"].shape, found["pred_scores"].shape
        (torch.Size([2, 64, 64]), torch.Size([2]))
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
        score: str = "fre",
        sigma: float = 4.0,
    ) -> None:
        super().__init__()
        weights = path_of(weights)
        self.keep_arguments(locals())
        if score not in SCORES:
            raise ValueError(f"score: expected 'fre' or 'nll', got {score!r}")
        self.features = PatchFeatures(backbone, layers, pre_trained, weights=weights, image_size=image_size)
        self.pca = PCA(n_components)
        self.blur = smoothing(sigma)
        self.score = score

    @property
    def is_fitted(self) -> bool:
        return self.pca.is_fitted

    def embed(self, images: Tensor) -> Tensor:
        """All features (N, D h w) of images (N, 3, S, S) in [0, 1], as one vector each."""
        return self.features(images).flatten(1)

    def fit_features(self, features: Tensor) -> None:
        """Fit the components to `features` (N, D h w)."""
        self.pca.fit(features)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps (N, S, S) and scores (N,) of images (N, 3, S, S)."""
        features = self.embed(images)
        components = self.pca.transform(features)
        squared = (features - self.pca.inverse_transform(components)).square()
        by_position = squared.unflatten(1, (-1, *self.features.grid)).sum(dim=1)
        maps = anomaly_map(by_position, self.features.image_size, self.blur)
        if self.score == "fre":
            return {"anomaly_maps": maps, "pred_scores": squared.sum(dim=1)}
        variance = self.pca.explained_variance.to(features)
        scores = 0.5 * (components.square() / variance + torch.log(2 * torch.pi * variance)).sum(dim=1)
        return {"anomaly_maps": maps, "pred_scores": scores}
