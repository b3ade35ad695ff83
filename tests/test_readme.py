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


def test_what_the_lesson_on_fastflow_says_of_the_benchmark_is_so():
    sentence = (
        "ahead of PaDiM and PatchCore on the textures, level with the best of them on solar cells, "
        "and not ahead on magnetic tiles, and it takes longest to fit, but for PatchCore 10 % on the tiles"
    )
    assert sentence in (ROOT / "notebooks/19_fastflow.ipynb").read_text()
    rows = readme.stored("detection")["one CPU core"]["rows"]
    lead, slowest = {}, {}
    for data in {row["data"].partition(",")[0] for row in rows}:
        of = {row["model"]: row for row in rows if row["data"].startswith(data)}
        others = [of[name]["image_AUROC"] for name in of if name.startswith(("PaDiM", "PatchCore"))]
        lead[data] = of["FastFlow"]["image_AUROC"] - max(others)
        slowest[data] = max(of, key=lambda name: of[name]["fit s"])
    assert min(lead[data] for data in ("brick", "grass", "gravel")) > 0
    assert max(abs(lead[data]) for data in ("solar mono", "solar poly")) < 0.01 and lead["magnetic tiles"] < 0
    assert slowest.pop("magnetic tiles") == "PatchCore 10 %"
    assert set(slowest.values()) == {"FastFlow"}


def test_the_median_redraw_is_that_of_the_table():
    assert f"which is {readme.stored('notebooks')['2 CPU cores']['median redraw ms']} ms over all sliders" in MEASURED


def test_the_large_coreset_is_the_one_that_the_benchmark_measured():
    large = readme.stored("growth")["large"]
    assert f"took {large['seconds']} s there, and {large['GB']} GB beside the\nfeatures" in MEASURED
