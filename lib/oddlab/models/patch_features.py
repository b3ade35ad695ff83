"""What detectors of patches begin and end with: features of every patch, and a map of the image's size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oddlab.backbones import normalization
from oddlab.checks import FULL_PRECISION, check_tensor
from oddlab.features import FeatureExtractor


class PatchFeatures(nn.Module):
    r"""The maps of several layers side by side on the finest grid: features (N, D, h, w) of images (N, 3, S, S).

    Args:
        backbone, layers, pre_trained: as for `FeatureExtractor`.
        image_size: S, the side of the images in pixels; they hold values in [0, 1].
        pool: the side, odd, of the window over which each map is averaged first; 1 does not.
        mode: how coarser maps are brought to the finest grid, as `torch.nn.functional.interpolate` calls it.

    `shapes` are those of the maps one by one, `grid` is (h, w) and `n_features` is D. Raises `ValueError` for images of
    another size, `TypeError` for images that are neither float32 nor float64.

    >>> features = PatchFeatures("efficientnet_lite0", ["blocks.2", "blocks.4"], image_size=64)
    >>> features(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 64, 16, 16])
    """

    def __init__(
        self,
        backbone: str | nn.Module,
        layers: Sequence[str],
        pre_trained: bool = True,
        *,
        image_size: int,
        pool: int = 1,
        mode: str = "nearest",
    ) -> None:
        super().__init__()
        self.extractor = FeatureExtractor(backbone, layers, pre_trained)
        self.image_size, self.pool, self.mode = image_size, pool, mode
        mean, std = normalization(backbone if isinstance(backbone, str) else "")
        self.register_buffer("pixel_mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std).view(3, 1, 1), persistent=False)
        with torch.no_grad():
            maps = self.extractor(torch.zeros(1, 3, image_size, image_size)).values()
        self.shapes = [tuple(features.shape[1:]) for features in maps]
        self.grid = max(shape[1:] for shape in self.shapes)
        self.n_features = sum(shape[0] for shape in self.shapes)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The map (N, C, H, W) of each layer, averaged over windows, on its own grid."""
        side = self.image_size
        check_tensor("images", images, "N C H W", exactly={"C": 3, "H": side, "W": side}, dtypes=FULL_PRECISION)
        maps = self.extractor((images - self.pixel_mean) / self.pixel_std).values()
        if self.pool > 1:
            return [F.avg_pool2d(features, self.pool, 1, self.pool // 2) for features in maps]
        return list(maps)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(images)
        return torch.cat([F.interpolate(features, size=self.grid, mode=self.mode) for features in maps], dim=1)


def anomaly_map(distances: Tensor, image_size: int, blur: nn.Module) -> Tensor:
    """Patch distances (N, h, w), enlarged to the image and blurred: (N, S, S).

    >>> anomaly_map(torch.ones(1, 4, 4), 8, nn.Identity()).shape
    torch.Size([1, 8, 8])
    """
    enlarged = F.interpolate(distances.unsqueeze(1), size=image_size, mode="bilinear", align_corners=False)
    return blur(enlarged).squeeze(1)
