"""Every detector fitted, validated and tested by two processes is that of one process: see `several_processes.py`."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from several_processes import DETECTORS, TRAINING_IMAGES

SCRIPT = Path(__file__).with_name("several_processes.py")
CASES = [f"{name}, {case}" for name in DETECTORS for case in TRAINING_IMAGES] + [
    "PaDiM, plain loaders",
    "DFM, plain loaders",
]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What one process found, and what each of two did."""
    results = {}
    for processes in (1, 2):
        folder = tmp_path_factory.mktemp(f"by_{processes}")
        subprocess.run([sys.executable, SCRIPT, str(processes), folder], check=True, capture_output=True, timeout=1500)
        results[processes] = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(processes)]
    return results


@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_in_the_detector_of_one(found, case):
    (one,) = (of[case] for of in found[1])
    for other in (of[case] for of in found[2]):
        assert other["steps"] == one["steps"] > 0 and not other["placeholder"]
        torch.testing.assert_close(other["scores"], one["scores"], rtol=1e-4, atol=1e-5)
        for name, expected in one["state"].items():
            if (
                name == "pca.spread" and "plain" in case
            ):  # in the order of the images, which Lightning's sampler changes
                continue
            torch.testing.assert_close(other["state"][name], expected, rtol=1e-4, atol=1e-4, equal_nan=True)
            torch.testing.assert_close(other["stored"][name], other["state"][name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("case", CASES)
def test_thresholds_and_figures_are_those_of_one_process(found, case):
    (one,) = (of[case] for of in found[1])
    assert {"image_AUROC", "image_F1Score"} <= set(one["figures"])
    for other in (of[case] for of in found[2]):
        assert other["figures"] == pytest.approx(one["figures"], abs=1e-4)
        assert other["state"]["image_threshold"].isfinite()
