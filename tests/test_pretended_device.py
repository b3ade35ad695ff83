"""Parts on a device that is not the CPU, where no such device is: see `pretended_device.py`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

SCRIPT = Path(__file__).with_name("pretended_device.py")


@pytest.fixture(scope="module", params=[[], ["--without-float64"]], ids=["with float64", "without"])
def wrong(request):
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip(f"torch {torch.__version__} is too old for a device that is written in Python")
    command = [sys.executable, SCRIPT, *request.param]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_every_part_gives_there_what_it_gives_on_the_cpu(wrong):
    assert len(wrong) > 50
    assert {name: error for name, error in wrong.items() if error} == {}
