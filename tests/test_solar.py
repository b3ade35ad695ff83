import re
from pathlib import Path

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


def test_photographs_that_look_alike_are_in_one_set():
    listed = [line.split() for line in Path(solar.__file__).with_name(solar.LOOK_ALIKES).read_text().splitlines()]
    names = [name for line in listed for name in line]
    assert len(listed) == 276 and len(set(names)) == len(names) == 1057 and min(map(len, listed)) > 1
    kind_of = {image.stem: kind for image, _, kind in solar._cells()}
    assert all(len({kind_of[name] for name in line}) == 1 for line in listed)
    for arguments in (dict(kinds="mono"), dict(kinds=["mono", "poly"], good_up_to=1 / 3, train_share=0.8)):
        for random_state in range(3):
            sets = read_solar(**arguments, random_state=random_state)
            set_of = {sample.image.stem: number for number, part in enumerate(sets) for sample in part}
            assert all(len({set_of[name] for name in line if name in set_of}) <= 1 for line in listed)
            assert sum(len({name for name in line if name in set_of}) > 1 for line in listed) > 50


def test_look_alikes_are_found_in_the_photographs():
    import look_alikes

    images = [image for image, _, kind in solar._cells() if kind == "mono"][:200]
    streaks = torch.stack([look_alikes.pixels(image) for image in images])
    assert (look_alikes.resemblance(streaks).diagonal() == -1).all()
    twice = torch.cat([streaks, 0.9 * streaks[:3] + 0.05])  # darker and with less contrast: the same cells again
    alike = look_alikes.resemblance(twice) > look_alikes.LIMIT
    assert all(alike[i, 200 + i] for i in range(3)) and alike.float().mean() < 0.05


def test_fewer_are_trained_on_where_too_few_look_like_good_ones_alone():
    train, val, test = read_solar("poly", train_share=0.95)
    assert 700 < len(train) < 0.95 * 920 and len(train) + len(val) + len(test) == 1322


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
