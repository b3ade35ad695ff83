import re

import pytest
import torch

from oddlab.data import ImageData, read_solar, solar


def test_three_disjoint_seeded_sets_of_each_kind():
    for kind, good, defective in (("mono", 588, 313), ("poly", 920, 402), (["mono", "poly"], 1508, 715)):
        sets = read_solar(kind)
        images = [sample.image for samples in sets for sample in samples]
        assert len(images) == len(set(images)) == good + defective
        labels = [[sample.label for sample in samples] for samples in sets]
        assert labels[0] == [0] * (good // 2) and abs(sum(labels[1]) - sum(labels[2])) <= 1
        assert read_solar(kind) == sets and read_solar(kind, random_state=1) != sets
    assert read_solar("mono", random_state=torch.Generator().manual_seed(3)) == read_solar(
        "mono", random_state=torch.Generator().manual_seed(3)
    )


def test_limits_decide_what_is_good_and_what_is_defective():
    sets = read_solar("mono", good_up_to=1 / 3, defective_from=2 / 3, train_share=0.8)
    assert [sum(len(part) for part in sets), len(sets[0])] == [588 + 117 + 56 + 313, round(0.8 * 705)]
    kinds = [sample.defect for part in sets for sample in part]
    assert kinds.count("defective with p = 2/3") == 56 and kinds.count("defective") == 313


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(kinds="amorphous"), "kinds: expected 'mono', 'poly' or both in a list, got 'amorphous'"),
        (dict(kinds=[]), r"kinds: expected .*, got \[\]"),
        (
            dict(good_up_to=1.0),
            "good_up_to, defective_from: expected 0 <= good_up_to < defective_from <= 1, got 1.0 and 1.0",
        ),
        (dict(train_share=1), "train_share: expected a number between 0 and 1, got 1"),
    ],
)
def test_other_kinds_and_limits_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        read_solar(**arguments)


def test_the_licence_is_said_once(capsys, monkeypatch):
    monkeypatch.setattr(solar, "_licence_is_said", False)
    read_solar()
    assert "CC BY-NC-SA 4.0, not for commercial use" in capsys.readouterr().out
    read_solar()
    assert capsys.readouterr().out == ""


def test_without_the_package_its_name_is_said(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="elpv-dataset, which is not installed: pip install elpv-dataset"):
        read_solar()


def test_the_photographs_are_what_they_are_said_to_be():
    train, val, test = read_solar("poly")
    data = ImageData(train, test, val=val, image_size=300, batch_size=4)
    batch = next(iter(data.val_dataloader()))
    assert batch["image"].shape == (4, 3, 300, 300) and "mask" not in next(iter(data.test_dataloader()))
    assert all(re.fullmatch(r"cell\d{4}\.png", sample.image.name) for sample in train)
