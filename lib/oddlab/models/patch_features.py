"""What detectors of patches begin and end with: features of every patch, and a map of the image's size."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from oddlab.backbones import normalization
from oddlab.blur import GaussianBlur2d
from oddlab.checks import FULL_PRECISION, check_int, check_number, check_tensor
from oddlab.features import FeatureExtractor


class PatchFeatures(nn.Module):
    r"""The maps of several layers side by side on the finest grid: features (N, D, h, w) of images (N, 3, S, S).

    Args:
        backbone, layers, pre_trained, weights: as for `FeatureExtractor`.
        image_size: S, the side of the images in pixels; they hold values in [0, 1].
        pool: the side, odd, of the window over which each map is averaged first; 1 does not.
        mode: how coarser maps are brought to the finest grid, as `torch.nn.functional.interpolate` calls it.

    `shapes` are those of the maps one by one, `grid` is (h, w) and `n_features` is D. Features have the images' dtype,
    whatever the network computes in, also where autocast runs it in half precision. Raises `ValueError` for images of
    another size, `TypeError` for images that are neither float32 nor float64.

    >>> features = PatchFeatures("efficientnet_lite0", ["blocks.2", "blocks.4"], image_size=64)
    >>> features(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 64, 16, 16])
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        backbone: str | nn.Module,
        layers: Sequence[str],
        pre_trained: bool = True,
        *,
        weights: str | os.PathLike[str] | None = None,
        image_size: int,
        pool: int = 1,
        mode: str = "nearest",
    ) -> None:
        super().__init__()
        self.image_size = check_int("image_size", image_size)
        self.extractor = FeatureExtractor(backbone, layers, pre_trained, weights=weights)
        self.pool, self.mode = pool, mode
        like = {"dtype": self.extractor.dtype, "device": self.extractor.device}
        mean, std = normalization(self.extractor.backbone)
        self.register_buffer("pixel_mean", torch.tensor(mean, **like).view(3, 1, 1))
        self.register_buffer("pixel_std", torch.tensor(std, **like).view(3, 1, 1))
        noise = torch.rand(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(0), device="cpu")
        with torch.no_grad():
            maps = self.extractor(noise.to(**like)).values()
        self.shapes = [tuple(features.shape[1:]) for features in maps]
        self.grid = max(shape[1:] for shape in self.shapes)
        self.n_features = sum(shape[0] for shape in self.shapes)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        for name in ("pixel_mean", "pixel_std"):  # which checkpoints before 0.2 do not hold
            state_dict.setdefault(prefix + name, getattr(self, name))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def maps(self, images: Tensor) -> list[Tensor]:
        """The map (N, C, H, W) of each layer, averaged over windows, on its own grid."""
        side = self.image_size
        check_tensor("images", images, "N C H W", exactly={"C": 3, "H": side, "W": side}, dtypes=FULL_PRECISION)
        normalised = ((images - self.pixel_mean) / self.pixel_std).to(self.extractor.dtype)
        maps = [features.to(images.dtype) for features in self.extractor(normalised).values()]
        if self.pool > 1:
            return [F.avg_pool2d(features, self.pool, 1, self.pool // 2) for features in maps]
        return maps

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(images)
        return torch.cat([F.interpolate(features, size=self.grid, mode=self.mode) for features in maps], dim=1)


def smoothing(sigma: float) -> nn.Module:
    """The blur of anomaly maps by a Gaussian of `sigma` pixels; 0 leaves them as they are.

    >>> smoothing(0)
    Identity()
    """
    return GaussianBlur2d(None, sigma, channels=1) if check_number("sigma", sigma) else nn.Identity()


def enlarge(values: Tensor, image_size: int) -> Tensor:
    """Values of patches (N, h, w) brought to the size of the image by bilinear interpolation: (N, S, S).

    >>> enlarge(torch.ones(1, 4, 4), 8).shape
    torch.Size([1, 8, 8])
    """
    return F.interpolate(values.unsqueeze(1), size=image_size, mode="bilinear", align_corners=False).squeeze(1)


def anomaly_map(distances: Tensor, image_size: int, blur: nn.Module) -> Tensor:
    """Patch distances (N, h, w), enlarged to the image and blurred: (N, S, S).

    >>> anomaly_map(torch.ones(1, 4, 4), 8, nn.Identity()).shape
    torch.Size([1, 8, 8])
    """
    return blur(enlarge(distances, image_size).unsqueeze(1)).squeeze(1)
