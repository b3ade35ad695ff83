"""What the README says is so: its links lead somewhere, and its table of figures is the one that the benchmark wrote."""

import json
import re
from pathlib import Path

import pytest

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


def measured(name):
    return json.loads((ROOT / f"tests/benchmarks/{name}.json").read_text())


def shown(rows, columns):
    return [["" if row[column] is None else str(row[column]) for column in columns] for row in rows]


def test_the_figures_are_those_that_the_benchmark_wrote():
    (machine,) = measured("detection").values()
    assert rows("detection") == shown(machine["rows"], machine["rows"][0])


ALL = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")


@pytest.mark.parametrize(
    ("stem", "sentence", "models", "names"),
    [
        ("20_padim", "image AUROC {:.3f}, pixel AUROC {:.3f} and AUPRO {:.3f}", ["PaDiM"], ALL),
        (
            "21_patchcore",
            "image AUROC {:.3f}, pixel AUROC {:.3f} and AUPRO {:.3f} with 1 % of the patches, "
            "and {:.3f}, {:.3f} and {:.3f} with 10 %",
            ["PatchCore 1 %", "PatchCore 10 %"],
            ALL,
        ),
        ("22_dfkde", "DFM reaches image AUROC {:.3f} and DFKDE {:.3f}", ["DFM", "DFKDE"], ALL[:1]),
        ("23_fastflow", "image AUROC {:.3f}, pixel AUROC {:.3f} and AUPRO {:.3f}", ["FastFlow"], ALL),
    ],
)
def test_what_a_notebook_says_of_the_tiles_is_what_the_benchmark_wrote(stem, sentence, models, names):
    (machine,) = measured("detection").values()
    tiles = {row["model"]: row for row in machine["rows"] if row["data"] == "magnetic tiles"}
    figures = [tiles[model][name] for model in models for name in names]
    assert sentence.format(*figures) in (ROOT / f"notebooks/{stem}.ipynb").read_text()


def test_the_speeds_are_those_that_the_benchmark_wrote():
    measured_rows = measured("parts")["2 CPU cores"]["rows"]
    detectors = [row for row in measured_rows if "AUROC" in row["checked"]]
    parts = [row for row in measured_rows if row not in detectors]
    assert rows("speed") == shown(parts, ("task", "ours s", "best peer", "anomalib", "limit", "ours GB", "anomalib GB"))
    columns = ("task", "ours s", "anomalib", "limit", "ours GB", "anomalib GB", "checked")
    assert rows("detectors") == shown(detectors, columns)


def test_the_moons_are_those_that_the_benchmark_wrote():
    columns = ("flow", "parameters", "nats", "spread", "seconds")
    assert rows("moons") == shown(measured("two_moons")["rows"], columns)


def test_the_notebooks_seconds_are_those_that_the_benchmark_wrote():
    columns, machine = ("notebook", "seconds", "GB", "redraw ms"), measured("notebooks")["2 CPU cores"]
    assert rows("notebooks") == shown(machine["rows"], columns)
    assert f"which is {machine['median redraw ms']} ms over all sliders" in README


def test_the_large_coreset_is_the_one_that_the_benchmark_measured():
    large = measured("growth")["large"]
    assert f"took {large['seconds']} s there, and {large['GB']} GB beside the\nfeatures" in README
