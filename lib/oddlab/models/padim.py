"""PaDiM: a Gaussian of the features at every position of the image."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oddlab.backbones import OFFLINE, path_of
from oddlab.checks import check_int
from oddlab.gaussian import MultiVariateGaussian
from oddlab.models.one_pass import OnePassDetector
from oddlab.models.patch_features import PatchFeatures, anomaly_map, smoothing
from oddlab.models.place_whitening import join_processes
from oddlab.modes import fitting
from oddlab.seeding import make_generator


class PaDiM(OnePassDetector):
    r"""Patch distribution modelling: fit one Gaussian per position, call far away what is anomalous.

    .. math::
        A_{uv}(x) = G_\sigma * \sqrt{(\phi_{uv}(x) - \mu_{uv})^\top \Sigma_{uv}^{-1} (\phi_{uv}(x) - \mu_{uv})}

    with :math:`\phi` the concatenated features of `layers` and :math:`G_\sigma` a Gaussian blur. Fitting is one pass
    over the good images, batch by batch; nothing is trained, and one epoch ends it whatever the trainer says.

    Args:
        backbone: a name for `load_backbone`, or a module, of which a copy is used.
        layers: the layers whose features are joined.
        pre_trained: whether the backbone has ImageNet weights.
        weights: the path of a file with other weights for the backbone, see `load_backbone`.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        n_features: how many of the features are kept, drawn at random; None keeps all.
        sigma: of the blur, in pixels of the image; 0 for none.
        ridge: of the Gaussians, in units of the mean variance of their features.
        random_state: decides which features are kept; an int, a `torch.Generator` or None.

    Called on images it returns `anomaly_maps` (N, S, S) in standard deviations and `pred_scores` (N,), their maxima.

    Raises `ValueError` for images of another size and fewer than two training images, `NotFittedError` before a fit.

    Source: Defard et al., PaDiM (arXiv 2011.08785).

    Example:
        >>> model = PaDiM(image_size=64)
        >>> for images in torch.rand(4, 8, 3, 64, 64, generator=torch.Generator().manual_seed(0)):
        ...     _ = model.fit_batch(images)
        >>> model.finish_fit()(images)["anomaly_maps"].shape
        torch.Size([8, 64, 64])
    """

    index: Tensor

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.4", "blocks.10"),
        pre_trained: bool = True,
        *,
        weights: str | os.PathLike[str] | None = None,
        image_size: int = 224,
        n_features: int | None = None,
        sigma: float = 4.0,
        ridge: float = 0.01,
        random_state: int | torch.Generator | None = 0,
    ) -> None:
        super().__init__()
        weights = path_of(weights)
        self.keep_arguments(locals())
        self.features = PatchFeatures(backbone, layers, pre_trained, weights=weights, image_size=image_size)
        total = self.features.n_features
        if n_features is not None and check_int("n_features", n_features) > total:
            raise ValueError(
                f"n_features: expected None or 1 to {total}, the channels of {list(layers)}, got {n_features}"
            )
        order = torch.randperm(total, generator=make_generator(random_state), device="cpu")
        self.register_buffer("index", order[:n_features].sort().values)
        height, width = self.features.grid
        self.gaussian = MultiVariateGaussian(len(self.index), height * width, ridge=ridge)
        self.blur = smoothing(sigma)

    @property
    def is_fitted(self) -> bool:
        return self.gaussian.is_fitted

    def embed(self, images: Tensor) -> Tensor:
        """Features (N, D, h, w) of images (N, 3, S, S) in [0, 1]: the layers side by side, on the finest grid."""
        stacked = self.features(images)
        return stacked if len(self.index) == stacked.shape[1] else stacked[:, self.index]

    def reset(self) -> None:
        self.gaussian.reset()

    @fitting
    def fit_batch(self, images: Tensor) -> PaDiM:
        """Add good images (N, 3, S, S) to what the Gaussians have seen; they are up to date after every batch."""
        self.gaussian.partial_fit(self.embed(images))
        return self

    @fitting
    def finish_fit(self) -> PaDiM:
        """Join what the Gaussians of all processes have seen; in a single process nothing is left to do."""
        join_processes(self.gaussian)
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps (N, S, S): distances in standard deviations, enlarged and blurred; and scores (N,), their maxima."""
        distances = self.gaussian.mahalanobis(self.embed(images))
        maps = anomaly_map(distances, self.features.image_size, self.blur)
        return {"anomaly_maps": maps, "pred_scores": maps.flatten(1).amax(dim=1)}
