import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from oddlab.data import (
    DEFECTS,
    TEXTURES,
    ImageData,
    ImageDataset,
    Sample,
    data_home,
    draw_defect,
    read_digits,
    read_folder,
    read_magnetic_tiles,
    split,
    texture_folder,
)
from oddlab.data.samples import split_groups


def write(path, size=(20, 16), value=128):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Three good images, one good and two scratched to test, with masks."""
    for i in range(3):
        write(tmp_path / f"bolt/train/good/{i}.png", value=100 + i)
    write(tmp_path / "bolt/test/good/0.png")
    for i in range(2):
        write(tmp_path / f"bolt/test/scratch/{i}.png")
        write(tmp_path / f"bolt/ground_truth/scratch/{i}_mask.png", value=255)
    return tmp_path


def test_a_folder_is_read_with_its_labels_and_masks(folder):
    train, test = read_folder(folder, "bolt")
    assert [s.label for s in train] == [0, 0, 0]
    assert [(s.defect, s.label, s.mask and s.mask.name) for s in test] == [
        ("good", 0, None),
        ("scratch", 1, "0_mask.png"),
        ("scratch", 1, "1_mask.png"),
    ]
    assert read_folder(folder / "bolt") == (train, test)


def test_items_are_images_in_0_1_and_masks_of_0_and_1(folder):
    item = ImageDataset(read_folder(folder, "bolt")[1], image_size=8)[1]
    assert item["image"].shape == (3, 8, 8) and item["image"].dtype == torch.float32
    assert item["image"][0, 0, 0].item() == pytest.approx(128 / 255)
    assert item["mask"].shape == (8, 8) and item["mask"].unique().tolist() == [1]
    assert item["label"] == 1 and item["defect"] == "scratch" and item["image_path"].endswith("scratch/0.png")


def test_without_ground_truth_there_are_no_masks(folder):
    import shutil

    shutil.rmtree(folder / "bolt/ground_truth")
    assert "mask" not in ImageDataset(read_folder(folder, "bolt")[1], 8)[1]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d: [p.unlink() for p in (d / "bolt/train/good").iterdir()], "root: expected images .* in .*train/good"),
        (lambda d: (d / "bolt/train/good").rename(d / "bolt/train/fine"), "root: expected a folder .*train/good"),
        (lambda d: (d / "bolt/test").rename(d / "bolt/tests"), "root: expected folders of test images in .*bolt/test"),
        (lambda d: (d / "bolt/ground_truth/scratch/1_mask.png").unlink(), "root: expected the mask of .*1.png"),
    ],
    ids=["no images", "no folder", "no tests", "no mask"],
)
def test_a_folder_that_is_not_whole_is_refused_with_its_path(folder, spoil, says):
    spoil(folder)
    with pytest.raises(ValueError, match=says):
        read_folder(folder, "bolt")


def test_an_unknown_category_names_those_that_exist(folder):
    with pytest.raises(ValueError, match=r"category: expected one of \['bolt'\].* got 'nut'"):
        read_folder(folder, "nut")


def test_an_image_that_does_not_open_is_named(folder):
    (folder / "bolt/test/scratch/1.png").write_text("not an image")
    with pytest.raises(ValueError, match="image: expected an image file at .*scratch/1.png, and it is none"):
        ImageDataset(read_folder(folder, "bolt")[1], 8)[2]


def test_a_mask_of_another_size_is_named_with_both_sizes(folder):
    write(folder / "bolt/ground_truth/scratch/0_mask.png", size=(9, 9))
    with pytest.raises(ValueError, match="mask: expected .*0_mask.png to be 20 x 16 pixels .* got 9 x 9"):
        ImageDataset(read_folder(folder, "bolt")[1], 8)[1]


def test_a_validation_split_is_disjoint_seeded_and_takes_of_every_kind():
    samples = [Sample(data_home() / f"{kind}{i}.png", kind) for kind in ("good", "hole") for i in range(10)]
    first, second = split(samples, 0.5, random_state=0)
    assert not set(first) & set(second) and set(first) | set(second) == set(samples)
    assert [sum(s.defect == kind for s in first) for kind in ("good", "hole")] == [5, 5]
    assert split(samples, 0.5, random_state=0) == (first, second) != split(samples, 0.5, random_state=1)


def test_groups_stay_whole_in_a_split_and_both_parts_get_of_every_kind():
    def group(i, good, holes):
        kinds = ["good"] * good + ["hole"] * holes
        return [Sample(data_home() / f"{i}_{j}.png", kind) for j, kind in enumerate(kinds)]

    groups = [
        group(0, 5, 0),
        group(1, 3, 2),
        *(group(i, 1, 0) for i in range(2, 14)),
        *(group(i, 0, 1) for i in (14, 15)),
    ]
    firsts = []
    for random_state in range(20):
        first, second = split_groups(groups, 0.5, random_state)
        assert sorted([*first, *second], key=str) == sorted(groups, key=str)
        assert [sum(s.defect == kind for g in first for s in g) for kind in ("good", "hole")] == [10, 2]
        assert split_groups(groups, 0.5, random_state) == (first, second)
        firsts.append(first)
    assert 5 < sum(groups[0] in first for first in firsts) < 20 and any(groups[1] in first for first in firsts)


def test_the_data_module_splits_shuffles_and_refuses(folder):
    train, test = read_folder(texture_folder(), "brick")
    data = ImageData(train, test, image_size=16, batch_size=50)
    assert len(data.val_set) == len(data.test_set) == 50 and not set(data.val_set.samples) & set(data.test_set.samples)
    assert ImageData(train, test, val_split=None).val_set.samples == test
    order = [next(iter(data.train_dataloader()))["image_path"] for _ in range(2)]
    assert order[0] == order[1] != sorted(order[0])
    for arguments, says in [
        (dict(train=[]), "train, test: expected samples in both"),
        (dict(train=test), "train: expected good images only"),
        (dict(batch_size=0), "batch_size: expected an int of at least 1"),
        (dict(val_split=1.5), "val_split: expected None or a number between 0 and 1, got 1.5"),
    ]:
        with pytest.raises(ValueError, match=says):
            ImageData(**{"train": train, "test": test, **arguments})


def test_magnetic_tiles_are_read_in_their_own_layout(tmp_path):
    for i in range(10):
        write(tmp_path / f"MT_Free/Imgs/{i}.jpg"), write(tmp_path / f"MT_Free/Imgs/{i}.png", value=0)
    for i in range(2):
        write(tmp_path / f"MT_Crack/Imgs/{i}.jpg"), write(tmp_path / f"MT_Crack/Imgs/{i}.png")
    train, test = read_magnetic_tiles(tmp_path)
    assert len(train) == 8 and sorted(s.defect for s in test) == ["crack", "crack", "good", "good"]
    assert not {s.image for s in train} & {s.image for s in test}
    assert all(s.image.suffix == ".jpg" for s in train + test) and test[-1].mask.suffix == ".png"
    with pytest.raises(ValueError, match="root: expected the folders MT_Free"):
        read_magnetic_tiles(tmp_path / "MT_Free")
    with pytest.raises(ValueError, match="train_share: expected a number between 0 and 1, got 80"):
        read_magnetic_tiles(tmp_path, train_share=80)


@pytest.mark.parametrize("defect", DEFECTS)
def test_masks_are_exact(defect):
    image = np.random.default_rng(0).integers(60, 200, (96, 128)).astype(np.uint8)
    kept = image.copy()
    for seed in range(5):
        damaged, mask = draw_defect(defect, image, np.random.default_rng(seed))
        assert (image == kept).all() and damaged.dtype == np.uint8 and mask.dtype == bool
        assert (damaged[~mask] == image[~mask]).all()
        assert (damaged[mask] != image[mask]).mean() > 0.8 and 0.002 < mask.mean() < 0.25
        again, _ = draw_defect(defect, image, np.random.default_rng(seed))
        assert (again == damaged).all()


def test_the_default_textures_are_always_the_same_ones(tmp_path, monkeypatch):
    def digest(root):
        files = sorted(root.rglob("*.png"))
        return len(files), hashlib.sha256(b"".join(np.asarray(Image.open(f)).tobytes() for f in files)).hexdigest()

    monkeypatch.setenv("ODDLAB_DATA", str(tmp_path))
    root = texture_folder()
    assert root == tmp_path / "textures" and sorted(p.name for p in tmp_path.iterdir()) == ["textures"]
    first = digest(root)
    assert first[0] == 3 * (160 + 40 + 2 * 5 * 12)
    monkeypatch.setenv("ODDLAB_DATA", str(tmp_path / "again"))
    assert digest(texture_folder()) == first
    for name in TEXTURES:
        train, test = read_folder(root, name)
        assert (len(train), len(test)) == (160, 100)


def test_an_interrupted_writing_leaves_no_textures(tmp_path, monkeypatch):

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setenv("ODDLAB_DATA", str(tmp_path))
    monkeypatch.setattr("oddlab.data.textures._write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        texture_folder()
    assert not list(tmp_path.iterdir())


def test_digits():
    images, labels = read_digits()
    assert images.shape == (1797, 1, 8, 8) and images.min() == 0 and images.max() == 1 and labels.max() == 9


def test_kinds_of_one_image_each_are_dealt_out_to_both_parts():
    samples = [Sample(data_home() / f"{kind}.png", f"kind {kind}") for kind in range(6)]
    first, second = split(samples, 0.5, random_state=0)
    assert len(first) == len(second) == 3


def test_a_validation_set_without_images_is_said():
    train, test = read_folder(texture_folder(), "gravel")
    good = [sample for sample in test if not sample.label]
    with pytest.warns(UserWarning, match="val_split: validation has no images"):
        ImageData(train, good[:1], image_size=32, val_split=0.4)


def test_the_order_of_training_images_is_new_in_every_epoch_and_the_same_for_any_number_of_processes():
    train, test = read_folder(texture_folder(), "gravel")
    data = ImageData(train[:9], test, image_size=16, batch_size=4)

    def epoch(number, processes=1, rank=0):
        data.trainer = SimpleNamespace(world_size=processes, global_rank=rank)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(number)
        return [path for batch in loader for path in batch["image_path"]]

    whole = epoch(0)
    assert sorted(whole) == [str(sample.image) for sample in train[:9]] and epoch(1) != whole == epoch(0)
    assert epoch(0, 2, 0) == whole[0::2] and epoch(0, 2, 1)[:4] == whole[1::2]
