"""What the README says is so: its links lead somewhere, and its table of figures is the one that the benchmark wrote."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def rows(name):
    table = re.search(rf"<!-- {name} -->(.*?)<!-- /{name} -->", README, flags=re.DOTALL)[1].strip().splitlines()
    return [[entry.strip() for entry in line.strip("|").split("|")] for line in table[2:]]


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_every_notebook_is_in_the_table_of_parts():
    listed = [re.search(r"\((notebooks/[^)]+)\)", row[3])[1] for row in rows("parts")]
    assert listed == sorted(str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


def test_the_figures_are_those_that_the_benchmark_wrote():
    measured = json.loads((ROOT / "tests/benchmarks/detection.json").read_text())["2 CPU cores"]
    assert rows("detection") == [[str(value) for value in row.values()] for row in measured["rows"]]
    tiles = next(row for row in measured["rows"] if row["data"] == "magnetic tiles")
    notebook = (ROOT / "notebooks/20_padim.ipynb").read_text()
    figures = (tiles[name] for name in ("image_AUROC", "pixel_AUROC", "pixel_AUPRO"))
    assert "image AUROC {:.3f}, pixel AUROC {:.3f} and AUPRO {:.3f}".format(*figures) in notebook


def test_the_speeds_are_those_that_the_benchmark_wrote():
    measured = json.loads((ROOT / "tests/benchmarks/parts.json").read_text())["one CPU core"]
    columns = ("task", "ours s", "best peer", "anomalib", "limit")
    assert rows("speed") == [[str(row[column]) for column in columns] for row in measured["rows"]]


def test_patchcores_figures_are_those_that_the_benchmark_wrote():
    (row,) = json.loads((ROOT / "tests/benchmarks/detection.json").read_text())["one CPU core of a busy machine"]["rows"]
    figures = [row[name] for name in ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")]
    assert "image AUROC {}, pixel AUROC {} and AUPRO {}".format(*figures) in README
    notebook = (ROOT / "notebooks/21_patchcore.ipynb").read_text()
    assert "image AUROC {:.3f}, pixel AUROC {:.3f} and AUPRO {:.3f} with 1 %".format(*figures) in notebook
