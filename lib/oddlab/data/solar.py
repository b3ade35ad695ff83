"""Solar cells, photographed by their own light: real cells with real defects."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import torch

from oddlab.data.samples import Sample, split_groups

KINDS = ("mono", "poly")
"""Cells of one crystal, which are even, and of many, whose grain shows."""

PACKAGE = "elpv-dataset"

LICENCE = "solar cells: the ELPV data set (Buerhop-Lutz et al. 2018), CC BY-NC-SA 4.0, not for commercial use"
"""Printed the first time that a process reads them."""

LOOK_ALIKES = "solar_look_alikes.txt"
"""A file beside this one: in each line the names of photographs that look alike, without their ending."""

_licence_is_said = False


def has_solar() -> bool:
    """Whether the package with the photographs is installed."""
    return importlib.util.find_spec("elpv_dataset") is not None


def read_solar(
    kinds: str | Sequence[str] = "mono",
    *,
    good_up_to: float = 0.0,
    defective_from: float = 1.0,
    train_share: float = 0.5,
    random_state: int | torch.Generator | None = 0,
) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Training, validation and test images of single solar cells: three disjoint sets, drawn by `random_state`.

    The 2,624 electroluminescence photographs (300 x 300 grey pixels, from 44 modules) of the package `elpv-dataset`.
    An expert gave each the probability p that the cell is defective: 0, 1/3, 2/3 or 1. There are no masks.

    Many photographs share their fine pattern, be it that they show one cell twice or cells that were made one after
    another. The package does not record them; `solar_look_alikes.txt` lists what `tests/benchmarks/look_alikes.py`
    found, and photographs of one line are kept in one set. Cells of one module may still be in different sets.

    Args:
        kinds: "mono", "poly", or both in a list.
        good_up_to: the largest p of a good cell.
        defective_from: the smallest p of a defective one; what lies between is in no set.
        train_share: of the good cells, to train. Cells that look like a defective one are not trained on, so there may
            be fewer. The other good cells are halved between validation and test, and so are the defective ones.
        random_state: decides which cells are where; an int, a `torch.Generator` or None.

    Raises `ValueError` for other kinds and limits, `RuntimeError` if the package is not installed.

    Source: Buerhop-Lutz et al., A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence
    Imagery (EU PVSEC 2018). Licence: CC BY-NC-SA 4.0, not for commercial use.

    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()):  # the licence, printed at first use
    ...     train, val, test = read_solar("mono")
    >>> len(train), len(val), len(test)
    (294, 304, 303)
    """
    wanted = [kinds] if isinstance(kinds, str) else list(kinds)
    if not wanted or not set(wanted) <= set(KINDS):
        raise ValueError(f"kinds: expected 'mono', 'poly' or both in a list, got {kinds!r}")
    if not 0 <= good_up_to < defective_from <= 1:
        raise ValueError(
            f"good_up_to, defective_from: expected 0 <= good_up_to < defective_from <= 1, "
            f"got {good_up_to} and {defective_from}"
        )
    if not 0 < train_share < 1:
        raise ValueError(f"train_share: expected a number between 0 and 1, got {train_share!r}")
    samples = [
        Sample(image, _kind(p, good_up_to))
        for image, p, kind in _cells()
        if kind in wanted and (p <= good_up_to or p >= defective_from)
    ]
    groups = _group(samples)
    good = [group for group in groups if not any(sample.label for sample in group)]
    others = [group for group in groups if any(sample.label for sample in group)]
    n_train = train_share * sum(not sample.label for sample in samples)
    train, rest = split_groups(good, min(1, n_train / sum(map(len, good))), random_state)
    val, test = split_groups(rest + others, 0.5, random_state)
    return _flatten(train), _flatten(val), _flatten(test)


def _group(samples: Sequence[Sample]) -> list[list[Sample]]:
    """The samples, those together that look alike."""
    found = Path(__file__).with_name(LOOK_ALIKES).read_text()
    line_of = {image: i for i, line in enumerate(found.splitlines()) for image in line.split()}
    groups: dict[int | str, list[Sample]] = {}
    for sample in samples:
        name = sample.image.stem
        groups.setdefault(line_of.get(name, name), []).append(sample)
    return list(groups.values())


def _flatten(groups: Sequence[Sequence[Sample]]) -> list[Sample]:
    return sorted((sample for group in groups for sample in group), key=lambda sample: (sample.defect, sample.image))


def _kind(p: float, good_up_to: float) -> str:
    if p <= good_up_to:
        return "good"
    return "defective" if p == 1 else f"defective with p = {round(3 * p)}/3"


def _cells() -> list[tuple[Path, float, str]]:
    """File, probability of a defect and kind of every cell."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None:
        raise RuntimeError(
            f"the photographs of solar cells are in the package {PACKAGE}, which is not installed: "
            f"pip install {PACKAGE}"
        )
    global _licence_is_said
    if not _licence_is_said:
        print(LICENCE)
        _licence_is_said = True
    folder = Path(found.submodule_search_locations[0]) / "data"
    rows = [line.split() for line in (folder / "labels.csv").read_text().splitlines()]
    return [(folder / image, float(p), kind) for image, p, kind, *_ in rows]
