"""Folders of images as people really have them: names, kinds, masks, and what is said where something is amiss."""

import os
import tracemalloc
import unicodedata

import pytest
import torch
from PIL import Image

from oddlab.data import ImageData, ImageDataset, find_images, photographs, read_folder, read_magnetic_tiles
from oddlab.data.home import data_home


def write(path, value=128, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


@pytest.fixture
def bolts(tmp_path):
    """Two good images to train, one to test, and two scratched ones with masks, in the layout of MVTec AD."""
    for name in ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/scratch/0.png", "test/scratch/1.png"):
        write(tmp_path / name)
    for i in range(2):
        write(tmp_path / f"ground_truth/scratch/{i}_mask.png", 255)
    return tmp_path


def kinds_and_masks(root):
    return [(s.defect, s.mask and s.mask.relative_to(root).as_posix()) for s in read_folder(root)[1]]


def test_a_hidden_folder_is_no_kind_of_defect_and_changes_no_masks(bolts):
    before = read_folder(bolts)
    write(bolts / "test/.ipynb_checkpoints/0-checkpoint.png")
    write(bolts / "test/__MACOSX/0.png")
    write(bolts / "test/scratch/._0.png")
    write(bolts / "ground_truth/scratch/._0_mask.png")
    assert read_folder(bolts) == before


@pytest.mark.parametrize("where", ["test", "train"])
def test_good_may_be_written_with_a_capital(bolts, where):
    (bolts / where / "good").rename(bolts / where / "Good")
    train, test = read_folder(bolts)
    assert len(train) == 2 and [sample.label for sample in test] == [0, 1, 1]


@pytest.mark.parametrize(
    "name",
    ["{}_mask.PNG", "{}.bmp", "{}_mask.tif", "{}_gt.png", "{}-mask.png", "mask_{}.png", "{}_label.png", "{}.mask.png"],
)
def test_masks_may_have_other_names_and_endings(bolts, name):
    for i in range(2):
        (bolts / f"ground_truth/scratch/{i}_mask.png").unlink()
        write(bolts / "ground_truth/scratch" / name.format(i), 255)
    assert kinds_and_masks(bolts)[1:] == [("scratch", f"ground_truth/scratch/{name.format(i)}") for i in range(2)]


def test_masks_lie_in_the_same_sub_folder_or_at_the_top(bolts):
    write(bolts / "test/hole/line 1/7.png"), write(bolts / "test/hole/line 2/7.png"), write(bolts / "test/hole/8.png")
    write(bolts / "ground_truth/hole/line 1/7_mask.png"), write(bolts / "ground_truth/hole/line 2/7_mask.png")
    write(bolts / "ground_truth/hole/8_mask.png")
    masks = [mask for kind, mask in kinds_and_masks(bolts) if kind == "hole"]
    assert masks == [f"ground_truth/hole/{name}_mask.png" for name in ("8", "line 1/7", "line 2/7")]


def test_the_folder_of_masks_may_differ_in_case(bolts):
    (bolts / "ground_truth/scratch").rename(bolts / "ground_truth/Scratch")
    assert all(mask for kind, mask in kinds_and_masks(bolts) if kind == "scratch")


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ("ground_truth/scratch/0_mask.bmp", "expected the mask of .*0.png .* got 0_mask.bmp and 0_mask.png"),
        ("test/scratch/0.jpg", "expected one image .*scratch/0 that a mask can belong to, got several endings"),
        ("test/5.png", "expected the images of .*test in folders named by their kind, got 5.png"),
    ],
    ids=["two masks", "two images", "an image without a kind"],
)
def test_what_cannot_be_told_apart_is_named(bolts, extra, says):
    write(bolts / extra)
    with pytest.raises(ValueError, match=f"root: {says}"):
        read_folder(bolts)


def test_a_kind_without_masks_is_said_and_leaves_the_masks_of_none(bolts):
    write(bolts / "test/hole/0.png")
    samples = read_folder(bolts)[1]
    with pytest.warns(UserWarning, match="samples: no masks are used, since there are none of hole"):
        assert "mask" not in ImageDataset(samples, 8)[0]


@pytest.mark.parametrize(
    ("root", "category", "says"),
    [
        ("nowhere", None, "root: expected a folder .*nowhere, and there is none"),
        ("nowhere", "bolt", "root: expected a folder .*nowhere, and there is none"),
        ("", "bolt", "category: expected None, since .* holds no folders of categories, got 'bolt'"),
        ("train", None, "root: expected good images in a folder .*train/train, and there is none"),
        ("..", None, r"category: expected one of \[.*\] in .*, got None"),
    ],
)
def test_a_folder_that_is_mistyped_is_told_from_a_category_that_is_not_there(bolts, root, category, says):
    with pytest.raises(ValueError, match=says):
        read_folder(bolts / root, category)


@pytest.mark.parametrize("odd", ["with space", "ümläut", "br[ack]ets", "{braces}", "100%", "#1"])
def test_odd_names_of_folders_and_files_are_only_names(bolts, odd):
    write(bolts / f"test/{odd}/{odd}.png"), write(bolts / f"ground_truth/{odd}/{odd}_mask.png", 255)
    assert (odd, f"ground_truth/{odd}/{odd}_mask.png") in kinds_and_masks(bolts)


def test_six_kinds_with_one_image_each_give_both_parts_defects(bolts):
    for kind in "abcde":
        write(bolts / f"test/{kind}/0.png")
    data = ImageData(*read_folder(bolts), image_size=8)
    labels = [[sample.label for sample in part.samples] for part in (data.val_set, data.test_set)]
    assert sorted(map(sum, labels)) == [3, 4]


def test_one_training_image_and_a_test_set_without_good_ones_are_read(bolts):
    (bolts / "train/good/1.png").unlink()
    (bolts / "test/good/0.png").unlink()
    (bolts / "test/good").rmdir()
    data = ImageData(*read_folder(bolts), image_size=8)
    assert len(data.train_set) == 1 and len(next(iter(data.train_dataloader()))["image"]) == 1
    assert next(iter(data.test_dataloader()))["label"].tolist() == [1]


def test_images_of_different_sizes_make_one_batch(bolts):
    for i, size in enumerate([(1, 1), (7, 300), (301, 200)]):
        write(bolts / f"test/good/{i}.png", size=size)
        write(bolts / f"train/good/{i}.png", size=size)
    for keep_shape in (False, True):
        data = ImageData(*read_folder(bolts), image_size=24, keep_shape=keep_shape)
        assert next(iter(data.train_dataloader()))["image"].shape == (3, 3, 24, 24)


def test_workers_give_the_same_batches(bolts):
    plain, two = (ImageData(*read_folder(bolts), image_size=8, num_workers=n, batch_size=1) for n in (0, 2))
    for one, other in zip(plain.test_dataloader(), two.test_dataloader(), strict=True):
        assert one["image_path"] == other["image_path"] and torch.equal(one["image"], other["image"])


def test_the_published_split_of_the_tiles_in_both_layouts(tmp_path):
    names = [f"exp1_num_{i}" for i in range(6)]
    own, written = tmp_path / "own", tmp_path / "written"
    for i, name in enumerate(names):
        write(own / f"MT_Free/Imgs/{name}.jpg"), write(own / f"MT_Free/Imgs/{name}.png", 0)
        write(written / ("train" if i % 2 else "test") / f"good/{name}.jpg")
    write(own / "MT_Crack/Imgs/a.jpg"), write(own / "MT_Crack/Imgs/a.png", 255)
    write(written / "test/crack/a.jpg"), write(written / "ground_truth/crack/a_mask.png", 255)
    for root in (own, written):
        with pytest.raises(
            ValueError, match="published_split: expected the names of the training images in .*train_names.txt"
        ):
            read_magnetic_tiles(root, published_split=True)
        (root / "train_names.txt").write_text("".join(f"{name}.jpg\n" for name in names[:4]))
        train, test = read_magnetic_tiles(root, published_split=True)
        assert [sample.image.stem for sample in train] == names[:4]
        assert [(s.image.stem, s.defect) for s in test] == [(names[4], "good"), (names[5], "good"), ("a", "crack")]
        assert test[-1].mask.is_file()
        seeded = read_magnetic_tiles(root, train_share=0.5)[0]
        assert len(seeded) == 3
        (root / "train_names.txt").write_text("other.jpg")
        with pytest.raises(
            ValueError, match="root: expected the 1 images of train_names.txt .* 1 are not there: other.jpg"
        ):
            read_magnetic_tiles(root, published_split=True)
    assert [s.image.stem for s in read_magnetic_tiles(own)[0]] == [
        s.image.stem for s in read_magnetic_tiles(written)[0]
    ]


def test_photographs_are_ones_own_or_solar_cells_or_textures(bolts, capsys, monkeypatch):
    own = photographs(bolts)
    assert [len(part) for part in own] == [2, 2, 1] or [len(part) for part in own] == [2, 1, 2]
    assert not set(own[1]) & set(own[2])
    assert photographs()[0][0].image.name.startswith("cell") and len(photographs(category="poly")[0]) == 460
    assert "gravel" in str(photographs(category="gravel")[0][0].image)
    capsys.readouterr()
    monkeypatch.setattr("oddlab.data.default.has_solar", lambda: False)
    assert "brick" in str(photographs()[0][0].image)
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(ValueError, match="category: expected one of mono, poly, brick, grass, gravel, got 'bolt'"):
        photographs(category="bolt")


def test_a_checkout_that_cannot_be_written_leaves_the_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("ODDLAB_DATA", raising=False)
    assert (data_home() / "README.md").is_file()
    real = os.access
    monkeypatch.setattr("oddlab.data.home.os.access", lambda path, mode: False if mode == os.W_OK else real(path, mode))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_home() == tmp_path / ".cache" / "oddlab"


def test_textures_that_are_there_are_used_where_nothing_can_be_written(tmp_path, monkeypatch):
    from oddlab.data import texture_folder

    monkeypatch.delenv("ODDLAB_DATA", raising=False)
    there = texture_folder()
    monkeypatch.setattr("oddlab.data.home.os.access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert texture_folder() == there


def test_a_folder_for_data_that_cannot_be_written_names_the_variable(tmp_path, monkeypatch):
    from oddlab.data import texture_folder

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ODDLAB_DATA", str(tmp_path / "file" / "data"))
    with pytest.raises(ValueError, match="ODDLAB_DATA: expected a folder that can be written, got .*file/data"):
        texture_folder()


def test_many_files_are_listed_in_seconds_and_little_memory(tmp_path):
    # A tenth of what the benchmark lists; the limits are wide, for slow machines.
    for i in range(10):
        (tmp_path / str(i)).mkdir()
        for j in range(1000):
            (tmp_path / str(i) / f"{j:05d}.png").touch()
    tracemalloc.start()
    found = list(find_images(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) == 10_000 and found == sorted(found) and peak < 20e6


@pytest.mark.parametrize("masks", ["ground_truth/scratches/0_mask.png", "ground_truth/0_mask.png"])
def test_masks_that_no_kind_uses_are_said(bolts, masks):
    write(bolts / masks, 255)
    with pytest.warns(UserWarning, match=r"root: expected the masks in .*ground_truth .*\['scratch'\]; not used: "):
        read_folder(bolts)


def test_kinds_find_their_masks_however_accents_are_composed(bolts):
    composed, apart = (unicodedata.normalize(form, "d\u00e9faut") for form in ("NFC", "NFD"))
    write(bolts / f"test/{composed}/0.png"), write(bolts / f"ground_truth/{apart}/0_mask.png", 255)
    assert all(sample.mask for sample in read_folder(bolts)[1] if sample.label)


def test_masks_are_for_validation_and_test_or_for_neither(bolts):
    for i in range(3):
        write(bolts / f"test/scratch/{i + 2}.png"), write(bolts / f"ground_truth/scratch/{i + 2}_mask.png", 255)
    write(bolts / "test/hole/0.png")
    with pytest.warns(UserWarning):
        data = ImageData(*read_folder(bolts), image_size=8)
    assert not data.val_set.has_masks and not data.test_set.has_masks
