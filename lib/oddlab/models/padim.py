"""PaDiM: a Gaussian of the features at every position of the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oddlab.backbones import OFFLINE
from oddlab.blur import GaussianBlur2d
from oddlab.gaussian import MultiVariateGaussian
from oddlab.models.one_pass import OnePassModule
from oddlab.models.patch_features import PatchFeatures, anomaly_map


class PaDiMModel(nn.Module):
    """The network of :class:`PaDiM`, for use without Lightning: `fit_batch` on good images, then call it on others."""

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.4", "blocks.10"),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        n_features: int | None = None,
        sigma: float = 4.0,
        ridge: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.features = PatchFeatures(backbone, layers, pre_trained, image_size=image_size)
        total = self.features.n_features
        if n_features is not None and not 1 <= n_features <= total:
            raise ValueError(f"n_features: expected None or 1 to {total}, the channels of {list(layers)}, got {n_features}")
        order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("index", order[:n_features].sort().values)
        height, width = self.features.grid
        self.gaussian = MultiVariateGaussian(len(self.index), height * width, ridge=ridge)
        self.blur = GaussianBlur2d(None, sigma, channels=1)

    def embed(self, images: Tensor) -> Tensor:
        """Features (N, D, h, w) of images (N, 3, S, S) in [0, 1]: the layers side by side, on the finest grid."""
        stacked = self.features(images)
        return stacked if len(self.index) == stacked.shape[1] else stacked[:, self.index]

    def reset(self) -> None:
        """Forget all images."""
        self.gaussian.reset()

    def fit_batch(self, images: Tensor) -> None:
        """Add good images (N, 3, S, S) to what the Gaussians have seen."""
        self.gaussian.partial_fit(self.embed(images))

    def finish_fit(self) -> None:
        """Nothing is left to do: the Gaussians are up to date after every batch."""

    def forward(self, images: Tensor) -> Tensor:
        """Anomaly maps (N, S, S) of images (N, 3, S, S): distances in standard deviations, enlarged and blurred."""
        distances = self.gaussian.mahalanobis(self.embed(images))
        return anomaly_map(distances, self.features.image_size, self.blur)


class PaDiM(OnePassModule):
    r"""Patch distribution modelling: fit one Gaussian per position, call far away what is anomalous.

    .. math::
        A_{uv}(x) = G_\sigma * \sqrt{(\phi_{uv}(x) - \mu_{uv})^\top \Sigma_{uv}^{-1} (\phi_{uv}(x) - \mu_{uv})}

    with :math:`\phi` the concatenated features of `layers` and :math:`G_\sigma` a Gaussian blur. Fitting is one pass
    over the good images, batch by batch; nothing is trained, and one epoch ends it whatever the trainer says.

    Args:
        backbone: a name for `load_backbone`, or a module.
        layers: the layers whose features are joined.
        pre_trained: whether the backbone has ImageNet weights.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        n_features: how many of the features are kept, drawn at random by `seed`; None keeps all.
        sigma: of the blur, in pixels of the image.
        ridge: of the Gaussians, in units of the mean variance of their features.

    Raises `ValueError` for images of another size and fewer than two training images, `NotFittedError` before a fit.

    Source: Defard et al., PaDiM (arXiv 2011.08785).

    Example:
        >>> model = PaDiM(image_size=64)
        >>> for images in torch.rand(4, 8, 3, 64, 64, generator=torch.Generator().manual_seed(0)):
        ...     model.model.fit_batch(images)
        >>> model(images).shape
        torch.Size([8, 64, 64])
    """

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.4", "blocks.10"),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        n_features: int | None = None,
        sigma: float = 4.0,
        ridge: float = 0.01,
        seed: int = 0,
    ) -> None:
        super().__init__()
        layers = list(layers)
        # A module cannot be stored in a checkpoint's hyperparameters; a name can, and then `load_from_checkpoint` works.
        self.save_hyperparameters(ignore=["backbone"] if isinstance(backbone, nn.Module) else None)
        self.model = PaDiMModel(
            backbone,
            layers,
            pre_trained,
            image_size=image_size,
            n_features=n_features,
            sigma=sigma,
            ridge=ridge,
            seed=seed,
        )

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        return {**batch, "anomaly_maps": self(batch["image"])}
