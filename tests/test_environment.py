"""The two ways to install oddlab ask for the same."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import oddlab

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
OURS = {"pytorch": "torch", "lazy_loader": "lazy-loader"}


def names_and_ranges(requirements):
    split = (re.fullmatch(r"([\w.-]+)(.*)", requirement.replace(" ", "")) for requirement in requirements)
    return {OURS.get(match[1], match[1]): match[2] for match in split}


@pytest.fixture
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_conda_and_pip_install_the_same(project):
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    conda = names_and_ranges([e for e in listed if isinstance(e, str)] + [e for e in pip if not e.startswith("-e")])
    assert conda.pop("python") == project["project"]["requires-python"]
    conda.pop("pip")
    groups = project["dependency-groups"]
    assert set(project["tool"]["uv"]["default-groups"]) == {"dev", "solar"}
    expected = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["lab"]
    expected += [r for r in groups["dev"] if r != "oddlab[lab]"] + groups["solar"]
    assert conda == names_and_ranges(r for r in expected if "python_version" not in r)


def test_the_command_without_its_extra_says_what_to_install(monkeypatch):
    from oddlab import command

    monkeypatch.setitem(sys.modules, "oddlab.cli", None)
    with pytest.raises(SystemExit, match=r"the command needs more than the library .*: pip install 'oddlab\[lab\]'"):
        command.main()


def test_the_lab_without_its_extra_says_what_to_install():
    command = "import sys; sys.modules['ipywidgets'] = None; import oddlab.lab"
    failed = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert "oddlab.lab needs more than the library" in failed.stderr and "pip install 'oddlab[lab]'" in failed.stderr


def test_no_package_host_is_named_and_no_lock_file_is_kept(project):
    hosts = re.compile(r"py" r"pi\.org|python" r"hosted|npm" r"js\.org|deb\." r"debian")
    files = [ROOT / name for name in ("pyproject.toml", "environment.yml", "README.md", ".ci/run", "data/README.md")]
    assert not [file.name for file in files if hosts.search(file.read_text())]
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()


@pytest.mark.parametrize("package", ["", ".data", ".flow", ".models"])
def test_what_the_stub_names_is_there(package):
    module = importlib.import_module(f"oddlab{package}")
    assert len(module.__all__) >= 3 and all(getattr(module, name) is not None for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))
    assert (Path(oddlab.__file__).parent / "py.typed").is_file()


def test_nothing_is_imported_before_it_is_used():
    command = "import sys, oddlab, oddlab.data; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", command], capture_output=True, text=True).stdout == "[]\n"
