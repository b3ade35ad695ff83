"""FastFlow: a normalizing flow over feature maps, and how unlikely it finds each place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oddlab.anomaly_module import AnomalyModule
from oddlab.backbones import OFFLINE, path_of
from oddlab.checks import NotFittedError, check_int, check_number
from oddlab.flow import AllInOneBlock, SequenceINN
from oddlab.gaussian import MultiVariateGaussian
from oddlab.models.feature_cache import FeatureCache
from oddlab.models.patch_features import PatchFeatures, enlarge, smoothing
from oddlab.models.place_whitening import PlaceWhitening, join_processes
from oddlab.modes import fitting
from oddlab.processes import gather, own_samples
from oddlab.seeding import seed_of

LAYERS = ("blocks.4", "blocks.7", "blocks.10")

CLAMPING = 0.5
"""The largest absolute log-scale of a block, which bounds what a flow makes of places unlike any it was trained on."""


def convolutions(kernel_size: int, hidden_ratio: float) -> Callable[[int, int], nn.Module]:
    """A constructor of subnets: two convolutions, with `hidden_ratio` times the input's channels between them.

    >>> convolutions(3, hidden_ratio=0.5)(8, 12)(torch.zeros(1, 8, 4, 4)).shape
    torch.Size([1, 12, 4, 4])
    """

    def subnet(channels_in: int, channels_out: int) -> nn.Module:
        hidden = max(1, int(hidden_ratio * channels_in))
        return nn.Sequential(
            nn.Conv2d(channels_in, hidden, kernel_size, padding="same"),
            nn.ReLU(),
            nn.Conv2d(hidden, channels_out, kernel_size, padding="same"),
        )

    return subnet


def convolutional_flow(shape: tuple[int, ...], flow_steps: int, hidden_ratio: float) -> SequenceINN:
    """A chain of blocks over maps of a `shape` (C, H, W), whose subnets see 3 x 3 places and one place by turns.

    >>> len(convolutional_flow((8, 4, 4), flow_steps=2, hidden_ratio=1.0))
    2
    """
    flow = SequenceINN(*shape)
    for step in range(flow_steps):
        subnet = convolutions(1 if step % 2 else 3, hidden_ratio)
        flow.append(AllInOneBlock, subnet_constructor=subnet, affine_clamping=CLAMPING)
    return flow


class FastFlow(AnomalyModule):
    r"""Call a place anomalous whose features a normalizing flow, trained on good images, sends far from 0.

    .. math::
        \mathcal L = -\frac1L \sum_l \frac{1}{C_l H_l W_l} \log p_l(\phi_l + \epsilon), \qquad
        A_{uv} = G_\sigma * \frac{1}{2 \sum_l C_l} \sum_l \sum_c z_{l,cuv}^2, \qquad z_l = f_l(\phi_l)

    with :math:`\phi_l` the features of layer l, whitened at every place by those of the good images (`PlaceWhitening`);
    :math:`f_l` a chain of `AllInOneBlock`, whose subnets are convolutions; and :math:`\epsilon` normal noise, of
    `noise` standard deviations, while it trains. A few hundred maps have thousands of dimensions, and without the noise
    the flow overfits them. Scores are the largest values of the enlarged maps before the blur.

    Args:
        backbone: a name for `load_backbone`, or a module, of which a copy is used.
        layers: the layers that get a flow each.
        pre_trained: whether the backbone has ImageNet weights.
        weights: the path of a file with other weights for the backbone, see `load_backbone`.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        flow_steps: how many blocks each flow has.
        hidden_ratio: channels between the convolutions of a subnet, as a share of those that enter it.
        noise: the standard deviation of the noise, in those of the whitened features.
        sigma: of the blur, in pixels of the image; 0 for none.
        learning_rate: of Adam.
        random_state: decides the first weights and the noise; an int, a `torch.Generator` or None.

    It trains for as many epochs as the trainer says; 20 are enough for the default textures. The features of a training
    image are computed once, as long as all of them fit into :data:`oddlab.models.feature_cache.CACHE_BYTES`. Several
    processes train the flow that one process would with as many times the batch size.

    Called on images it returns `anomaly_maps` (N, S, S) and `pred_scores` (N,).

    Raises `ValueError` for images of another size and arguments out of range, `NotFittedError` before a fit.

    Source: Yu et al., FastFlow (arXiv 2111.07677). Unofficial implementations standardize features over each image by
    a LayerNorm with weights that train, which lets the loss fall for nothing, since its Jacobian is not counted; here
    they are whitened by the good images, once. Kim et al., SoftFlow (arXiv 2006.04604), add noise too, but tell the
    flow how strong it is.

    Example:
        >>> model = FastFlow(image_size=64, flow_steps=2)
        >>> images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> model.standardize([images]).loss(images).backward()
        >>> found = model(images)
        >>> found["anomaly_maps"].shape, found["pred_scores"].shape
        (torch.Size([4, 64, 64]), torch.Size([4]))
    """

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = LAYERS,
        pre_trained: bool = True,
        *,
        weights: str | os.PathLike[str] | None = None,
        image_size: int = 224,
        flow_steps: int = 4,
        hidden_ratio: float = 1.0,
        noise: float = 0.5,
        sigma: float = 4.0,
        learning_rate: float = 2e-3,
        random_state: int | torch.Generator | None = 0,
    ) -> None:
        super().__init__()
        weights = path_of(weights)
        self.keep_arguments(locals())
        check_int("flow_steps", flow_steps)
        check_number("hidden_ratio", hidden_ratio, above=0)
        self.noise = check_number("noise", noise)
        self.learning_rate = check_number("learning_rate", learning_rate, above=0)
        self.seed = seed_of(random_state)
        self.features = PatchFeatures(backbone, layers, pre_trained, weights=weights, image_size=image_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            flows = [convolutional_flow(shape, flow_steps, hidden_ratio) for shape in self.features.shapes]
        self.flows = nn.ModuleList(flows)
        self.blur = smoothing(sigma)
        self.whitenings = nn.ModuleList(PlaceWhitening() for _ in self.features.shapes)
        self._cache: FeatureCache | None = None
        self._drawn = 0

    @property
    def is_fitted(self) -> bool:
        return all(whitening.is_fitted for whitening in self.whitenings)

    @fitting
    def standardize(self, batches: Iterable[Tensor]) -> FastFlow:
        """Take the mean and covariance of the channels at every place from good images (N, 3, S, S), in batches."""
        seen = [MultiVariateGaussian(c, h * w).to(self.features.pixel_mean) for c, h, w in self.features.shapes]
        for images in batches:
            for gaussian, maps in zip(seen, self._maps(images)):
                gaussian.partial_fit(maps)
        for gaussian, whitening in zip(seen, self.whitenings):
            join_processes(gaussian)
            if int(gaussian.n_samples) < 2:
                raise ValueError(f"batches: expected at least two images, got {int(gaussian.n_samples)}")
            whitening.fit(gaussian)
        return self

    def embed(self, images: Tensor) -> list[Tensor]:
        """The whitened map (N, C, H, W) of each layer for images (N, 3, S, S) in [0, 1]."""
        if not self.is_fitted:
            raise NotFittedError("FastFlow knows no mean and covariance: fit it, or call standardize, first")
        return [whitening(maps.to(whitening.mean)) for whitening, maps in zip(self.whitenings, self._maps(images))]

    def losses(self, images: Tensor, rows: Iterable[int]) -> Tensor:
        """Minus the log-likelihood (N,) of good images per dimension, mean of the layers, with noise on their features.

        The noise of an image follows from its number in `rows` alone, so that it does not matter which process draws
        it.
        """
        generator = torch.Generator(images.device)
        features = self.embed(images)
        noise = [torch.empty_like(maps) for maps in features]
        for i, row in enumerate(rows):
            generator.manual_seed(self.seed + row)
            for maps in noise:
                maps[i].normal_(generator=generator)
        of_layers = [
            -flow.log_prob(maps + self.noise * drawn) / maps[0].numel()
            for flow, maps, drawn in zip(self.flows, features, noise)
        ]
        return torch.stack(of_layers).mean(dim=0)

    def loss(self, images: Tensor) -> Tensor:
        """The mean of `losses` over good images (N, 3, S, S), with new noise at every call; a scalar."""
        rows = range(self._drawn, self._drawn + len(images))
        self._drawn += len(images)
        return self.losses(images, rows).mean()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Maps (N, S, S) and scores (N,) of images (N, 3, S, S)."""
        energies = [0.5 * flow(maps)[0].square().sum(dim=1) for flow, maps in zip(self.flows, self.embed(images))]
        enlarged = [enlarge(energy.to(images), self.features.image_size) for energy in energies]
        sharp = torch.stack(enlarged).sum(dim=0) / self.features.n_features
        return {"anomaly_maps": self.blur(sharp.unsqueeze(1)).squeeze(1), "pred_scores": sharp.flatten(1).amax(dim=1)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.flows.parameters(), lr=self.learning_rate, weight_decay=1e-5)

    def on_train_start(self) -> None:
        self._cache = FeatureCache(self.features.maps)
        # Once: a fit that goes on, or starts from a checkpoint, goes on with the features that the flows know.
        if not self.is_fitted:
            self.standardize(self._own_images())

    def on_train_epoch_start(self) -> None:
        self._left = own_samples(self.trainer.train_dataloader)

    def on_train_end(self) -> None:
        self._cache = None

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        images = batch["image"]
        counted = len(images) if self._left is None else min(len(images), self._left)
        if self._left is not None:
            self._left -= counted
        # Numbers of the images in the batch that all processes make up together.
        places = range(self.global_rank, self.trainer.world_size * len(images), self.trainer.world_size)
        losses = self.losses(images, [2**20 * self.global_step + place for place in places])
        # DDP takes the mean over processes, and the last of them may have fewer images or none.
        total = sum(int(n) for n in gather(torch.tensor(counted)))
        loss = losses[:counted].sum() * self.trainer.world_size / total
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
        return loss

    def _maps(self, images: Tensor) -> list[Tensor]:
        return self.features.maps(images) if self._cache is None else self._cache(images)

    def _own_images(self) -> Iterable[Tensor]:
        """The training images of this process, in batches, without those that a sampler repeats at the end."""
        left = own_samples(self.trainer.train_dataloader)
        for batch in self.trainer.train_dataloader:
            images = batch["image"][:left].to(self.device)
            left = None if left is None else left - len(images)
            if len(images):
                yield images
