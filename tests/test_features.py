import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from oddlab import FeatureExtractor, load_backbone
from oddlab.features import run_with_hooks
from oddlab.inference import for_inference


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
    for layer in expected:
        torch.testing.assert_close(result[layer], expected[layer], rtol=1e-4, atol=1e-4)


def test_the_pass_ends_after_the_last_layer_that_is_asked_for():
    net = Counting()
    run_with_hooks(net, ["second", "first"], images())
    assert net.ran == ["first", "second"]
    assert [name for name, _ in for_inference(net, ["second", "first"]).named_children()] == ["first", "second"]


def test_a_layer_is_what_it_was_before_the_next_one_changed_it_in_place():
    extractor = FeatureExtractor("resnet18", ["bn1", "layer1"], pre_trained=False)
    assert isinstance(extractor.backbone.relu, nn.ReLU) and extractor.backbone.relu.inplace
    alone = FeatureExtractor(extractor.backbone, ["bn1"])(images())["bn1"]
    assert alone.min() < 0
    torch.testing.assert_close(extractor(images())["bn1"], alone)
    torch.testing.assert_close(run_with_hooks(extractor.backbone, extractor.layers, images())["bn1"], alone)


def test_no_hook_stays_on_the_backbone_even_if_it_fails():
    net = Counting()
    hooks = sum(len(module._forward_hooks) for module in net.modules())
    extractor = FeatureExtractor(net, ["third"], requires_grad=True)
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


class Branching(nn.Module):
    """A network that cannot be traced, since what it does depends on the values of its input."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.norm(self.conv(x)) if x.mean() > 0 else self.norm(self.conv(-x))


@pytest.mark.parametrize(
    "make", [lambda: load_backbone("resnet18", pre_trained=False).train(), Branching], ids=["traced", "plain"]
)
def test_a_callers_network_is_left_as_it_was(make):
    net = make()
    before = copy.deepcopy(net.state_dict())
    layer = "layer1" if hasattr(net, "layer1") else "norm"
    extractor = FeatureExtractor(net, [layer])
    extractor(images())
    assert net.training and all(p.requires_grad for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("make", [lambda: load_backbone("efficientnet_lite0"), Branching], ids=["traced", "plain"])
def test_threads_that_share_an_extractor_each_get_their_own_features(make):
    net = make()
    extractor = FeatureExtractor(net, ["blocks.2", "blocks.4"] if hasattr(net, "blocks") else ["conv", "norm"])
    given = [torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(24)]
    expected = [extractor(x) for x in given]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(extractor, given * 4))
    for i, maps in enumerate(found):
        for layer, features in maps.items():
            torch.testing.assert_close(features, expected[i % 24][layer], rtol=0, atol=1e-5)


def test_a_network_that_cannot_be_traced_runs_as_it_is():
    extractor = FeatureExtractor(Branching(), ["norm"])
    assert for_inference(extractor.backbone, ["norm"]) is None
    x = images()
    with torch.no_grad():
        assert torch.equal(extractor(x)["norm"], extractor.backbone(x))
        assert torch.equal(extractor(-x)["norm"], extractor.backbone(-x))


def test_a_trace_that_gives_other_features_is_not_used():
    class Lasting(nn.Module):
        """The second layer's result is thrown away, but it has changed the first one's: a trace leaves it out."""

        def __init__(self):
            super().__init__()
            self.first, self.second, self.third = nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            x = self.first(x)
            self.second(x)
            return self.third(x)

    extractor, x = FeatureExtractor(Lasting(), ["third"]), images() - 0.5
    with torch.no_grad():
        assert torch.equal(extractor(x)["third"], extractor.backbone(x))
    assert extractor._fast == []


def test_weights_that_change_afterwards_count():
    extractor, x = FeatureExtractor("efficientnet_lite0", ["blocks.2"]), images()
    before = extractor(x)["blocks.2"]
    other = FeatureExtractor("efficientnet_lite0", ["blocks.2"], pre_trained=False)
    expected = other(x)["blocks.2"]
    extractor.backbone.load_state_dict(other.backbone.state_dict())
    assert torch.equal(extractor(x)["blocks.2"], expected) and not torch.allclose(before, expected)
    with torch.no_grad():
        extractor.backbone.stem[0].weight.zero_()
    assert not torch.allclose(extractor(x)["blocks.2"], expected)
    for twin in (copy.deepcopy(extractor), pickle.loads(pickle.dumps(extractor))):
        assert torch.equal(twin(x)["blocks.2"], extractor(x)["blocks.2"])


def test_a_batch_norm_is_folded_only_into_a_convolution_that_it_alone_reads():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.other = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
            for norm in (self.norm, self.other):
                nn.init.uniform_(norm.running_mean)
                nn.init.uniform_(norm.running_var, 0.5, 2.0)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y) + self.other(self.norm(y)) + y

    net, x = Shared().eval(), images()
    fast = for_inference(net, ["norm"])
    assert [name for name, _ in fast.named_children()] == ["conv", "norm"]
    torch.testing.assert_close(fast(x)["norm"], net.norm(net.conv(x)))
    alone = nn.Sequential(net.conv, net.norm, nn.ReLU(inplace=True))
    fast = for_inference(alone, ["1", "2"])
    assert [name for name, _ in fast.named_children()] == ["0", "2"]
    torch.testing.assert_close(fast(x)["1"], net.norm(net.conv(x)))
    torch.testing.assert_close(fast(x)["2"], net.norm(net.conv(x)).relu())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_backbone_of_any_dtype_is_taken(dtype):
    extractor = FeatureExtractor(load_backbone("efficientnet_lite0").to(dtype), ["blocks.2"])
    features = extractor(images().to(dtype))["blocks.2"]
    assert features.dtype == dtype and len(extractor._fast) == 1
    plain = run_with_hooks(extractor.backbone.float(), ["blocks.2"], images())["blocks.2"]
    assert (features.float() - plain).norm() < (0.1 if dtype == torch.bfloat16 else 1e-5) * plain.norm()
