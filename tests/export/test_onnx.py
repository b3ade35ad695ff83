"""Every fitted detector as an ONNX graph, run by onnxruntime, for any number of images at a time."""

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from oddlab import DFKDE, DFM, FastFlow, PaDiM, PatchCore

SIDE = 64
DETECTORS = {
    "PaDiM": lambda: PaDiM(image_size=SIDE),
    "PatchCore": lambda: PatchCore(image_size=SIDE, sampling_ratio=0.5),
    "DFKDE": lambda: DFKDE(image_size=SIDE, n_components=5),
    "DFM": lambda: DFM(image_size=SIDE),
    "FastFlow": lambda: FastFlow(image_size=SIDE, flow_steps=2),
}
LARGEST_DIFFERENCE = 1e-3
"""Of scores and maps, as a share of the largest of them."""


def fitted(make) -> nn.Module:
    images = torch.rand(16, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    model = make()
    if isinstance(model, FastFlow):
        model.standardize([images])
    else:
        model.fit_batch(images).finish_fit()
    model.eval()(images[:1])  # what is computed at the first call, as a factor of a covariance, belongs in the graph
    return model


def exported(model: nn.Module, path) -> onnxruntime.InferenceSession:
    example = torch.rand(2, 3, SIDE, SIDE)
    batch = torch.export.Dim("batch")
    torch.onnx.export(model, (example,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@torch.no_grad()
def largest_difference(model: nn.Module, session: onnxruntime.InferenceSession, images: Tensor) -> float:
    expected = model(images)
    results = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert len(results) == len(expected)
    differences = [
        ((torch.from_numpy(result) - value).abs().max() / value.abs().max()).item()
        for result, value in zip(results, expected.values())
    ]
    return max(differences)


@pytest.mark.parametrize("name", DETECTORS)
def test_the_graph_gives_the_detectors_maps_and_scores(name, tmp_path):
    with torch.no_grad():
        model = fitted(DETECTORS[name])
        session = exported(model, str(tmp_path / "detector.onnx"))
    for n in (1, 5):
        difference = largest_difference(model, session, torch.rand(n, 3, SIDE, SIDE))
        print(f"{name}, {n} images: largest difference {difference:.1e}")
        assert difference < LARGEST_DIFFERENCE


def test_a_bank_of_20_000_rows_is_exported_in_blocks(tmp_path):
    with torch.no_grad():
        model = fitted(DETECTORS["PatchCore"])
        model.bank = torch.randn(20_000, model.bank.shape[1], generator=torch.Generator().manual_seed(0))
        session = exported(model, str(tmp_path / "detector.onnx"))
    assert largest_difference(model, session, torch.rand(3, 3, SIDE, SIDE)) < LARGEST_DIFFERENCE
