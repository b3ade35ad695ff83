"""PatchCore: a memory bank of good patches, and the distance to the nearest of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from oddlab.backbones import OFFLINE, path_of
from oddlab.checks import NotFittedError, check_int
from oddlab.coreset import farthest_first, share_of
from oddlab.models.one_pass import CollectingDetector
from oddlab.models.patch_features import PatchFeatures, anomaly_map, smoothing
from oddlab.neighbors import nearest
from oddlab.seeding import make_generator


class PatchCore(CollectingDetector):
    r"""Call a patch anomalous that is far from every good patch: keep a coreset of them, and look up the nearest.

    .. math::
        A_p = \min_{m \in \mathcal M} \|\phi_p - m\|, \qquad
        s = \left(1 - \frac{e^{\|\phi^* - m^*\|}}{\sum_{m \in \mathcal N_b(m^*)} e^{\|\phi^* - m\|}}\right) \max_p A_p

    with :math:`\phi_p` the features of patch p, each map averaged over 3 x 3 first; :math:`\mathcal M` the memory bank;
    :math:`\phi^*` the patch that is farthest from it, :math:`m^*` its nearest row, and :math:`\mathcal N_b(m^*)` the b
    rows nearest to that, itself among them. The factor lowers the score of a patch whose nearest row lies in a crowd.
    Maps are the distances, enlarged and blurred. Fitting is one pass over the good images; nothing is trained.

    Args:
        backbone: a name for `load_backbone`, or a module, of which a copy is used.
        layers: the layers whose features are joined, the coarser brought to the finest grid bilinearly.
        pre_trained: whether the backbone has ImageNet weights.
        weights: the path of a file with other weights for the backbone, see `load_backbone`.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        sampling_ratio: the share of the good patches that the bank keeps, chosen as by `KCenterGreedy`.
        n_neighbors: b; 1 leaves the scores as the largest distances.
        sigma: of the blur, in pixels of the image; 0 for none.
        random_state: decides the first patch of the bank; an int, a `torch.Generator` or None.

    To add to an existing bank, call `fit_batch` on more good images and then `finish_fit`: what is there stays, and of
    the new patches those are added that are farthest from it. `bank` is (K, D).

    Called on images it returns `anomaly_maps` (N, S, S) and `pred_scores` (N,).

    Raises `ValueError` for images of another size and arguments out of range, `NotFittedError` before a fit.

    Source: Roth et al., PatchCore (arXiv 2106.08265), sections 3.1 to 3.3; the scores are equations 6 and 7.

    Example:
        >>> model = PatchCore(image_size=64, sampling_ratio=0.05)
        >>> images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> model.fit_batch(images).finish_fit().bank.shape
        torch.Size([25, 152])
        >>> found = model(images)
        >>> found["anomaly_maps"].shape, found["pred_scores"].shape
        (torch.Size([8, 64, 64]), torch.Size([8]))
    """

    bank: Tensor

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.4", "blocks.10"),
        pre_trained: bool = True,
        *,
        weights: str | os.PathLike[str] | None = None,
        image_size: int = 224,
        sampling_ratio: float = 0.1,
        n_neighbors: int = 9,
        sigma: float = 4.0,
        random_state: int | torch.Generator | None = 0,
    ) -> None:
        super().__init__()
        weights = path_of(weights)
        self.keep_arguments(locals())
        share_of(1, sampling_ratio)
        self.features = PatchFeatures(
            backbone, layers, pre_trained, weights=weights, image_size=image_size, pool=3, mode="bilinear"
        )
        self.blur = smoothing(sigma)
        self.sampling_ratio, self.n_neighbors = sampling_ratio, check_int("n_neighbors", n_neighbors)
        self.random_state = random_state
        self.register_buffer("bank", torch.empty(0))

    @property
    def is_fitted(self) -> bool:
        return len(self.bank) > 0

    def embed(self, images: Tensor) -> Tensor:
        """Patches (N, h w, D) of images (N, 3, S, S) in [0, 1], each the mean of the 3 x 3 around it."""
        return self.features(images).flatten(2).mT

    def reset(self) -> None:
        """Forget all images, and the bank."""
        super().reset()
        self.bank = self.bank.new_empty(0)

    def fit_features(self, features: Tensor) -> None:
        """Add to the bank a share of the patches (N, P, D), those that are farthest from it and from each other."""
        patches = features.flatten(0, 1)
        n_picks, known = share_of(len(patches), self.sampling_ratio), len(self.bank)
        if known:
            patches = torch.cat([self.bank.to(patches), patches])
            centers = torch.arange(known)
        else:
            centers = torch.randint(len(patches), (1,), generator=make_generator(self.random_state))
            n_picks -= 1
        centers = centers.to(patches.device)
        picks, _ = farthest_first(patches, centers, n_picks)
        self.bank = patches[torch.cat([centers, picks])]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps (N, S, S) and scores (N,) of images (N, 3, S, S)."""
        if not self.is_fitted:
            raise NotFittedError("PatchCore has an empty memory bank: call fit_batch and finish_fit first")
        patches, bank = self.embed(images), self.bank.to(images)
        squared, index = nearest(patches.flatten(0, 1), bank, bank[0])
        distances, index = squared.sqrt().view(patches.shape[:2]), index.view(patches.shape[:2])
        maps = anomaly_map(distances.unflatten(1, self.features.grid), self.features.image_size, self.blur)
        return {"anomaly_maps": maps, "pred_scores": self._score(patches, distances, index, bank)}

    def _score(self, patches: Tensor, distances: Tensor, index: Tensor, bank: Tensor) -> Tensor:
        """Scores (N,) from patches (N, P, D), their distances to the bank and the nearest rows, both (N, P)."""
        score, farthest = distances.max(dim=1)
        count = min(self.n_neighbors, len(bank))
        if count == 1:
            return score
        image = torch.arange(patches.shape[0], device=patches.device)
        patch, row = patches[image, farthest], bank[index[image, farthest]]
        around = torch.cdist(row, bank).topk(count, largest=False).indices
        away = (patch.unsqueeze(1) - bank[around]).square().sum(dim=2).sqrt()
        return score * (1 - torch.exp(score - torch.logsumexp(away, dim=1)))
