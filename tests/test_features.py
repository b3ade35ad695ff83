import pytest
import torch
from torch import nn

from oddlab import FeatureExtractor


class Counting(nn.Module):
    """Three layers that note which of them ran."""

    def __init__(self):
        super().__init__()
        self.ran = []
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 1) for _ in range(3))
        for name, layer in self.named_children():
            layer.register_forward_hook(lambda *_, name=name: self.ran.append(name))

    def forward(self, x):
        return self.third(self.second(self.first(x)))


def images(n=2, side=64):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_each_layer_comes_back_under_its_own_name_in_any_order():
    # A peer gives layers that are asked for out of order each other's names.
    forward = FeatureExtractor("efficientnet_lite0", ["blocks.2", "blocks.4"])(images())
    backward = FeatureExtractor("efficientnet_lite0", ["blocks.4", "blocks.2"])(images())
    assert [*backward] == ["blocks.4", "blocks.2"]
    assert all(torch.equal(forward[layer], backward[layer]) for layer in forward)
    assert forward["blocks.2"].shape == (2, 24, 16, 16) and forward["blocks.4"].shape == (2, 40, 8, 8)


def test_features_are_those_of_the_network_run_by_hand():
    extractor = FeatureExtractor("resnet18", ["layer1.0.conv1", "layer2"], pre_trained=False)
    net, x = extractor.backbone, images()
    with torch.no_grad():
        stem = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        expected = {"layer1.0.conv1": net.layer1[0].conv1(stem), "layer2": net.layer2(net.layer1(stem))}
    result = extractor(x)
    assert all(torch.equal(result[layer], expected[layer]) for layer in expected)


def test_the_pass_ends_after_the_last_layer_that_is_asked_for():
    net = Counting()
    FeatureExtractor(net, ["second", "first"])(images())
    assert net.ran == ["first", "second"]


def test_a_layer_is_what_it_was_before_the_next_one_changed_it_in_place():
    extractor = FeatureExtractor("resnet18", ["bn1", "layer1"], pre_trained=False)
    assert isinstance(extractor.backbone.relu, nn.ReLU) and extractor.backbone.relu.inplace
    alone = FeatureExtractor(extractor.backbone, ["bn1"])(images())["bn1"]
    assert alone.min() < 0 and torch.equal(extractor(images())["bn1"], alone)


def test_no_hook_stays_on_the_backbone_even_if_it_fails():
    net = Counting()
    hooks = sum(len(module._forward_hooks) for module in net.modules())
    extractor = FeatureExtractor(net, ["third"])
    extractor(images())
    with pytest.raises(RuntimeError):
        extractor(torch.rand(1, 5, 4, 4))
    assert sum(len(module._forward_hooks) for module in net.modules()) == hooks


def test_a_frozen_backbone_stays_in_evaluation_mode_and_takes_no_gradient():
    extractor = FeatureExtractor("efficientnet_lite0", ["stem"]).train()
    assert extractor.training and not extractor.backbone.training
    before = extractor.backbone.stem[1].running_mean.clone()
    result = extractor(images())["stem"]
    assert not result.requires_grad and torch.equal(extractor.backbone.stem[1].running_mean, before)


def test_a_backbone_trains_when_asked_to_and_passes_gradients_to_its_input_when_not():
    training = FeatureExtractor("efficientnet_lite0", ["stem"], requires_grad=True).train()
    training(images())["stem"].sum().backward()
    assert training.backbone.training and training.backbone.stem[0].weight.grad is not None
    x = images().requires_grad_()
    frozen = FeatureExtractor("efficientnet_lite0", ["stem"])
    frozen(x)["stem"].sum().backward()
    assert x.grad is not None and frozen.backbone.stem[0].weight.grad is None


def test_out_dims_and_indices():
    extractor = FeatureExtractor("resnet18", ["layer1", "layer2", "layer3"], pre_trained=False)
    assert extractor.out_dims == [64, 128, 256]
    assert extractor._map_layer_to_idx() == [1, 2, 3]
    assert extractor._map_layer_to_idx(offset=0) == [4, 5, 6]


def test_a_layer_that_never_runs_and_one_that_returns_no_tensor_are_named():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Identity(), nn.Identity()

        def forward(self, x):
            return self.used((x, x))

    with pytest.raises(RuntimeError, match="layers: unused did not run"):
        FeatureExtractor(Odd(), ["unused"])(images())
    with pytest.raises(RuntimeError, match="layers: 'used' returns tuple, expected a tensor"):
        FeatureExtractor(Odd(), ["used"])(images())


def test_input_of_another_dtype_than_the_weights_is_refused_by_name():
    with pytest.raises(TypeError, match="input_tensor: expected torch.float32"):
        FeatureExtractor("efficientnet_lite0", ["stem"])(images().double())
