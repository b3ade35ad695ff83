"""What the README says is so: its links lead somewhere, and its figures are those that the benchmarks wrote."""

import re
from pathlib import Path

import pytest

import oddlab
import readme
from oddlab.flow import coupling, global_affine, householder, permutation

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FLOW = (coupling, global_affine, householder, permutation)
MEASURED = (ROOT / "tests" / "benchmarks" / "README.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "tests/benchmarks/README.md", "data/README.md"])
def test_its_links_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        assert target.startswith("https://") or (path.parent / target).exists(), target


def test_every_notebook_is_in_the_table_of_parts():
    table = re.search("<!-- parts -->(.*)<!-- /parts -->", README, flags=re.DOTALL)[1]
    listed = re.findall(r"\((notebooks/[^)]+)\)", table)
    assert listed == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


def test_every_name_that_can_be_imported_is_in_the_table_of_parts():
    table = re.search("<!-- parts -->(.*)<!-- /parts -->", README, flags=re.DOTALL)[1]
    named = set(re.findall(r"`(\w+)`", table))
    assert set(oddlab.__all__) - {"data", "flow", "lab", "models"} <= named
    assert named <= set(oddlab.__all__) | {name for module in FLOW for name in vars(module)}


@pytest.mark.parametrize("name", readme.tables())
def test_the_figures_are_those_that_the_benchmarks_wrote(name):
    page = README if name in ("results", "ratios") else MEASURED
    assert f"<!-- {name} -->\n{readme.tables()[name]}\n<!-- /{name} -->" in page


ALL = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")


@pytest.mark.parametrize(
    ("stem", "sentence", "models", "names"),
    [
        ("19_fastflow", "image AUROC {:.3f}, pixel AUROC {:.3f} and AUPRO {:.3f}", ["FastFlow"], ALL),
    ],
)
def test_what_a_notebook_says_of_the_tiles_is_what_the_benchmark_wrote(stem, sentence, models, names):
    measured = readme.stored("detection")["one CPU core"]
    tiles = {row["model"]: row for row in measured["rows"] if row["data"].startswith("magnetic tiles")}
    figures = [tiles[model][name] for model in models for name in names]
    assert sentence.format(*figures) in (ROOT / f"notebooks/{stem}.ipynb").read_text()


def test_the_median_redraw_is_that_of_the_table():
    assert f"which is {readme.stored('notebooks')['2 CPU cores']['median redraw ms']} ms over all sliders" in MEASURED


def test_the_large_coreset_is_the_one_that_the_benchmark_measured():
    large = readme.stored("growth")["large"]
    assert f"took {large['seconds']} s there, and {large['GB']} GB beside the\nfeatures" in MEASURED
