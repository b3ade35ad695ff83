"""PatchCore: a memory bank of good patches, and the distance to the nearest of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oddlab.backbones import OFFLINE
from oddlab.blur import GaussianBlur2d
from oddlab.checks import NotFittedError
from oddlab.coreset import farthest_first, share_of
from oddlab.models.one_pass import CollectingModel, OnePassModule
from oddlab.models.patch_features import PatchFeatures, anomaly_map
from oddlab.neighbors import nearest
from oddlab.seeding import make_generator


class PatchCoreModel(CollectingModel):
    """The network of :class:`PatchCore`, for use without Lightning.

    `fit_batch` on good images and then `finish_fit`; done once more, it adds to the bank that there is. `bank` is
    (K, D).
    """

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.4", "blocks.10"),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        sampling_ratio: float = 0.1,
        n_neighbors: int = 9,
        sigma: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        share_of(1, sampling_ratio)
        if not isinstance(n_neighbors, int) or n_neighbors < 1:
            raise ValueError(f"n_neighbors: expected an int of at least 1, got {n_neighbors!r}")
        self.features = PatchFeatures(
            backbone, layers, pre_trained, image_size=image_size, pool=3, mode="bilinear"
        )
        self.blur = GaussianBlur2d(None, sigma, channels=1)
        self.sampling_ratio, self.n_neighbors, self.seed = sampling_ratio, n_neighbors, seed
        self.register_buffer("bank", torch.empty(0))

    def embed(self, images: Tensor) -> Tensor:
        """Patches (N h w, D) of images (N, 3, S, S) in [0, 1], each the mean of the 3 x 3 around it."""
        return self.features(images).permute(0, 2, 3, 1).flatten(0, 2)

    def reset(self) -> None:
        """Forget all images, and the bank."""
        super().reset()
        self.bank = self.bank.new_empty(0)

    def fit(self, patches: Tensor) -> None:
        """Add to the bank a share of `patches` (N, D), those that are farthest from it and from each other."""
        n_picks, known = share_of(len(patches), self.sampling_ratio), len(self.bank)
        if known:
            patches = torch.cat([self.bank.to(patches), patches])
            centers = torch.arange(known)
        else:
            centers = torch.randint(len(patches), (1,), generator=make_generator(self.seed))
            n_picks -= 1
        centers = centers.to(patches.device)
        picks, _ = farthest_first(patches, centers, n_picks)
        self.bank = patches[torch.cat([centers, picks])]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Anomaly maps (N, S, S) and scores (N,) of images (N, 3, S, S)."""
        if not len(self.bank):
            raise NotFittedError("PatchCore has an empty memory bank: call fit_batch and finish_fit first")
        patches = self.embed(images)
        squared, index = nearest(patches, self.bank, self.bank[0])
        distances, index = squared.sqrt_().view(len(images), -1), index.view(len(images), -1)
        maps = anomaly_map(distances.view(-1, *self.features.grid), self.features.image_size, self.blur)
        return maps, self._score(patches.view(len(images), -1, patches.shape[1]), distances, index)

    def _score(self, patches: Tensor, distances: Tensor, index: Tensor) -> Tensor:
        """Scores (N,) from patches (N, P, D), their distances to the bank and the rows that are nearest, both (N, P)."""
        score, farthest = distances.max(dim=1)
        count = min(self.n_neighbors, len(self.bank))
        if count == 1:
            return score
        image = torch.arange(len(patches), device=patches.device)
        patch, row = patches[image, farthest], self.bank[index[image, farthest]]
        around = torch.cdist(row, self.bank).topk(count, largest=False).indices
        away = (patch.unsqueeze(1) - self.bank[around]).square().sum(dim=2).sqrt()
        return score * (1 - torch.exp(score - torch.logsumexp(away, dim=1)))


class PatchCore(OnePassModule):
    r"""Call a patch anomalous that is far from every good patch: keep a coreset of them, and look up the nearest.

    .. math::
        A_p = \min_{m \in \mathcal M} \|\phi_p - m\|, \qquad
        s = \left(1 - \frac{e^{\|\phi^* - m^*\|}}{\sum_{m \in \mathcal N_b(m^*)} e^{\|\phi^* - m\|}}\right) \max_p A_p

    with :math:`\phi_p` the features of patch p, each map averaged over 3 x 3 first; :math:`\mathcal M` the memory bank;
    :math:`\phi^*` the patch that is farthest from it, :math:`m^*` its nearest row, and :math:`\mathcal N_b(m^*)` the b
    rows nearest to that, itself among them. The factor lowers the score of a patch whose nearest row lies in a crowd.
    Maps are the distances, enlarged and blurred. Fitting is one pass over the good images; nothing is trained.

    Args:
        backbone: a name for `load_backbone`, or a module.
        layers: the layers whose features are joined, the coarser brought to the finest grid bilinearly.
        pre_trained: whether the backbone has ImageNet weights.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        sampling_ratio: the share of the good patches that the bank keeps, chosen as by `KCenterGreedy`.
        n_neighbors: b; 1 leaves the scores as the largest distances.
        sigma: of the blur, in pixels of the image.
        seed: decides the first patch of the bank.

    To add to an existing bank, call `model.fit_batch` on more good images and `model.finish_fit`: what is there stays,
    and of the new patches those are added that are farthest from it.

    Raises `ValueError` for images of another size and arguments out of range, `NotFittedError` before a fit.

    Source: Roth et al., PatchCore (arXiv 2106.08265), sections 3.1 to 3.3; the scores are equations 6 and 7.

    Example:
        >>> model = PatchCore(image_size=64, sampling_ratio=0.05)
        >>> images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> model.model.fit_batch(images)
        >>> model.model.finish_fit()
        >>> model.model.bank.shape
        torch.Size([25, 152])
        >>> maps, scores = model(images)
        >>> maps.shape, scores.shape
        (torch.Size([8, 64, 64]), torch.Size([8]))
    """

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.4", "blocks.10"),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        sampling_ratio: float = 0.1,
        n_neighbors: int = 9,
        sigma: float = 4.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        layers = list(layers)
        # A module cannot be stored in a checkpoint's hyperparameters; a name can, and then `load_from_checkpoint` works.
        self.save_hyperparameters(ignore=["backbone"] if isinstance(backbone, nn.Module) else None)
        self.model = PatchCoreModel(
            backbone,
            layers,
            pre_trained,
            image_size=image_size,
            sampling_ratio=sampling_ratio,
            n_neighbors=n_neighbors,
            sigma=sigma,
            seed=seed,
        )

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        maps, scores = self(batch["image"])
        return {**batch, "anomaly_maps": maps, "pred_scores": scores}
