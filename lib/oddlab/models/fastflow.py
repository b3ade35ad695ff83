"""FastFlow: a normalizing flow over feature maps, and how unlikely it finds each place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oddlab.anomaly_module import AnomalyModule
from oddlab.backbones import OFFLINE
from oddlab.blur import GaussianBlur2d
from oddlab.checks import NotFittedError
from oddlab.dynamic_buffer import DynamicBufferModule
from oddlab.flow import AllInOneBlock, SequenceINN
from oddlab.models.patch_features import PatchFeatures, anomaly_map


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
        flow.append(AllInOneBlock, subnet_constructor=convolutions(1 if step % 2 else 3, hidden_ratio))
    return flow


class FastFlowModel(DynamicBufferModule):
    """The network of :class:`FastFlow`, for use without Lightning: `standardize`, then train on its `loss`."""

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.4", "blocks.10"),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        flow_steps: int = 8,
        hidden_ratio: float = 1.0,
        noise: float = 0.5,
        sigma: float = 4.0,
    ) -> None:
        super().__init__()
        if not isinstance(flow_steps, int) or flow_steps < 1:
            raise ValueError(f"flow_steps: expected an int of at least 1, got {flow_steps!r}")
        if not 0 < hidden_ratio < float("inf"):
            raise ValueError(f"hidden_ratio: expected a finite number above 0, got {hidden_ratio!r}")
        if not 0 <= noise < float("inf"):
            raise ValueError(f"noise: expected a finite number of at least 0, got {noise!r}")
        self.features = PatchFeatures(backbone, layers, pre_trained, image_size=image_size)
        self.flows = nn.ModuleList(
            convolutional_flow(shape, flow_steps, hidden_ratio) for shape in self.features.shapes
        )
        self.noise = noise
        self.blur = GaussianBlur2d(None, sigma, channels=1)
        self.register_buffer("mean", torch.empty(0))
        self.register_buffer("std", torch.empty(0))

    @torch.no_grad()
    def standardize(self, batches: Iterable[Tensor]) -> None:
        """Take the mean and standard deviation of every channel from good images (N, 3, S, S), in batches."""
        count, total, squares = 0, 0.0, 0.0
        for images in batches:
            maps = [features.double() for features in self.features.maps(images)]
            count += len(images)
            total = total + torch.cat([features.mean(dim=(2, 3)).sum(dim=0) for features in maps])
            squares = squares + torch.cat([features.square().mean(dim=(2, 3)).sum(dim=0) for features in maps])
        if not count:
            raise ValueError("batches: expected at least one batch of images, got none")
        mean = total / count
        # A channel that is constant, as one that a ReLU has closed, stays at 0.
        std = (squares / count - mean.square()).clamp_min(1e-12).sqrt()
        self.mean, self.std = mean.to(images.dtype), std.to(images.dtype)

    def embed(self, images: Tensor) -> list[Tensor]:
        """The standardized map (N, C, H, W) of each layer for images (N, 3, S, S) in [0, 1]."""
        if not len(self.std):
            raise NotFittedError("FastFlow knows no mean and standard deviation: fit it, or call standardize, first")
        maps = self.features.maps(images)
        sizes = [features.shape[1] for features in maps]
        scales = zip(self.mean.view(-1, 1, 1).split(sizes), self.std.view(-1, 1, 1).split(sizes))
        return [(features - mean) / std for features, (mean, std) in zip(maps, scales)]

    def loss(self, images: Tensor) -> Tensor:
        """Minus the log-likelihood of good images with noise on their features, per dimension, mean of the layers."""
        losses = []
        for flow, features in zip(self.flows, self.embed(images)):
            noisy = features + self.noise * torch.randn_like(features)
            losses.append(-flow.log_prob(noisy).mean() / features[0].numel())
        return torch.stack(losses).mean()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Anomaly maps (N, S, S) and scores (N,) of images (N, 3, S, S)."""
        maps = []
        for flow, features in zip(self.flows, self.embed(images)):
            energy = 0.5 * flow(features)[0].square().mean(dim=1)
            maps.append(anomaly_map(energy, self.features.image_size, nn.Identity()))
        sharp = torch.stack(maps).mean(dim=0)
        return self.blur(sharp.unsqueeze(1)).squeeze(1), sharp.flatten(1).amax(dim=1)


class FastFlow(AnomalyModule):
    r"""Call a place anomalous whose features a normalizing flow, trained on good images, sends far from 0.

    .. math::
        \mathcal L = -\frac1L \sum_l \frac{1}{C_l H_l W_l} \log p_l(\phi_l + \epsilon), \qquad
        A_{uv} = G_\sigma * \frac1L \sum_l \frac{1}{2 C_l} \sum_c z_{l,cuv}^2, \qquad z_l = f_l(\phi_l)

    with :math:`\phi_l` the features of layer l, standardized by channel; :math:`f_l` a chain of `AllInOneBlock`, whose
    subnets are convolutions; and :math:`\epsilon` normal noise, of `noise` standard deviations, while it trains. A few
    hundred maps have thousands of dimensions, and without the noise the flow learns them by heart. Scores are the
    largest values of the enlarged maps before the blur.

    Args:
        backbone: a name for `load_backbone`, or a module.
        layers: the layers that get a flow each.
        pre_trained: whether the backbone has ImageNet weights.
        image_size: S, the side in pixels of the images, which are (N, 3, S, S) in [0, 1].
        flow_steps: how many blocks each flow has.
        hidden_ratio: channels between the convolutions of a subnet, as a share of those that enter it.
        noise: the standard deviation of the noise, in those of each channel.
        sigma: of the blur, in pixels of the image.
        learning_rate: of Adam.

    It trains for as many epochs as the trainer says; 20 are enough for the default textures. Weights and noise are drawn
    from PyTorch's global random state, as `pytorch_lightning.seed_everything` sets it.

    Raises `ValueError` for images of another size and arguments out of range, `NotFittedError` before a fit.

    Source: Yu et al., FastFlow (arXiv 2111.07677). There features are standardized over each image by a LayerNorm with
    weights that train, which lets the loss fall for nothing, since its Jacobian is not counted; here over the good
    images, once. Noise against learning by heart is as in Kim et al., SoftFlow (arXiv 2006.04604).

    Example:
        >>> model = FastFlow(image_size=64, flow_steps=2)
        >>> images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> model.model.standardize([images])
        >>> model.model.loss(images).backward()
        >>> maps, scores = model(images)
        >>> maps.shape, scores.shape
        (torch.Size([4, 64, 64]), torch.Size([4]))
    """

    def __init__(
        self,
        backbone: str | nn.Module = OFFLINE,
        layers: Sequence[str] = ("blocks.4", "blocks.10"),
        pre_trained: bool = True,
        *,
        image_size: int = 224,
        flow_steps: int = 8,
        hidden_ratio: float = 1.0,
        noise: float = 0.5,
        sigma: float = 4.0,
        learning_rate: float = 2e-3,
    ) -> None:
        super().__init__()
        layers = list(layers)
        if not 0 < learning_rate < float("inf"):
            raise ValueError(f"learning_rate: expected a finite number above 0, got {learning_rate!r}")
        # A module cannot be stored in a checkpoint's hyperparameters; a name can, and then `load_from_checkpoint` works.
        self.save_hyperparameters(ignore=["backbone"] if isinstance(backbone, nn.Module) else None)
        self.learning_rate = learning_rate
        self.model = FastFlowModel(
            backbone,
            layers,
            pre_trained,
            image_size=image_size,
            flow_steps=flow_steps,
            hidden_ratio=hidden_ratio,
            noise=noise,
            sigma=sigma,
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.flows.parameters(), lr=self.learning_rate, weight_decay=1e-5)

    def on_train_start(self) -> None:
        # Once: a fit that goes on, or starts from a checkpoint, goes on with the features that the flows know.
        if not len(self.model.std):
            self.model.standardize(batch["image"].to(self.device) for batch in self.trainer.train_dataloader)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        loss = self.model.loss(batch["image"])
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch["image"]))
        return loss

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Any]:
        maps, scores = self(batch["image"])
        return {**batch, "anomaly_maps": maps, "pred_scores": scores}
