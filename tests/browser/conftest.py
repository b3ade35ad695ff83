"""A JupyterLab server and a browser for the tests in this folder; they run by `pytest tests/browser`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

CHROMIUM = os.environ.get("ODDLAB_CHROMIUM", "/usr/bin/chromium")
START_TIMEOUT = 90
"""Seconds in which the server must answer."""


def pytest_addoption(parser):
    parser.addoption("--redraws", metavar="FILE", help="write the seconds of every redraw, by notebook, to FILE (json)")
    parser.addoption("--site", metavar="DIR", help="try the site that `oddlab site --out DIR` built, not a small one")


class ByNotebook(LoadScopeScheduling):
    """The tests of a notebook follow one another on one page, so that one process takes them all.

    xdist 3.8 has a mark for that, `xdist_group`, which does nothing under pytest 9.2. The method below is not public;
    `test_xdist_has_the_method_that_keeps_tests_together` fails once xdist has it no longer.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        notebook = test.partition("[")[2] if file.endswith("test_notebooks.py") else ""
        return notebook or file


def pytest_xdist_make_scheduler(config, log):
    return ByNotebook(config, log)


def pytest_configure(config):
    if config.getoption("--redraws") and (processes := config.getoption("numprocesses")):
        raise pytest.UsageError(f"--redraws: expected -n 0, since nothing else may run meanwhile, got -n {processes}")


@pytest.fixture(scope="session")
def redraws(request):
    """The seconds of every redraw, by notebook."""
    seconds: dict[str, list[float]] = {}
    yield seconds
    if file := request.config.getoption("--redraws"):
        Path(file).write_text(json.dumps(seconds, indent=1) + "\n")


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("playwright is missing: run `uv run --group browser pytest tests/browser`", pytrace=False)
    if shutil.which(CHROMIUM) is None:
        pytest.fail(f"{CHROMIUM} is missing: install chromium, or set ODDLAB_CHROMIUM to where it is", pytrace=False)
    with sync_playwright() as playwright:
        # As root, as in a container, Chromium only starts without its sandbox.
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def lab_folder(tmp_path_factory) -> Path:
    """The folder that JupyterLab shows; a notebook is opened as a copy in it."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="session")
def lab_url(lab_folder, tmp_path_factory):
    """The address of a JupyterLab server that knows nothing of the settings of whoever runs it."""
    home = tmp_path_factory.mktemp("jupyter")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # JupyterLab would else ask, over the page, whether to show news.
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    log = home / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"),
                *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
                *("--IdentityProvider.token=", f"--ServerApp.root_dir={lab_folder}"),
                *(f"--LabApp.user_settings_dir={home / 'settings'}", f"--LabApp.workspaces_dir={home / 'workspaces'}"),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTER_DATA_DIR": str(home / "data")},
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for_server(url, server, log)
        yield url
    finally:
        server.terminate()
        server.wait(30)


def wait_for_server(url: str, server: subprocess.Popen, log: Path) -> None:
    """Return once the server answers; fail with its log if it does not."""
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/api", timeout=2)
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.3)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}", pytrace=False)
