"""Scores and heat maps of a folder, on disk."""

import csv
import os

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from oddlab import DFM, AnomalyModule, PaDiM, predict
from oddlab.data import PredictData
from oddlab.prediction import PredictionWriter, heat_map


class Brightness(AnomalyModule):
    """An image's grey values are its map."""

    def __init__(self):
        super().__init__()
        self.save_hyperparameters({"image_size": 16})

    def forward(self, images):
        return {"anomaly_maps": images.mean(dim=1)}


@pytest.fixture
def folder(tmp_path):
    for name, value in {"a.png": 51, "b/c.jpg": 102, "b/ü d.PNG": 255, "b/.hidden.png": 0, "b/c.png": 0}.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (30, 20), value).save(path)
    return tmp_path / "in"


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_row_for_each_image_in_any_depth_and_a_heat_map_of_its_size(folder, tmp_path):
    model = Brightness()
    model.image_threshold.fill_(0.5)
    model.pixel_threshold.fill_(0.4)
    found = predict(model, folder, tmp_path / "out", batch_size=3)
    assert found == tmp_path / "out" / "scores.csv"
    table = rows(found)
    assert table[0] == ["path", "score", "decision"] and [row[0] for row in table[1:]] == [
        "a.png",
        "b/c.jpg",
        "b/c.png",
        "b/ü d.PNG",
    ]
    assert [float(row[1]) for row in table[1:]] == pytest.approx([0.2, 0.4, 0.0, 1.0], abs=0.003)
    assert [row[2] for row in table[1:]] == ["good", "good", "good", "anomalous"]
    names = ["a.png.png", "b/c.jpg.png", "b/c.png.png", "b/ü d.PNG.png"]
    assert files(tmp_path / "out") == [*(f"heat_maps/{name}" for name in names), "scores.csv"]
    maps = [Image.open(tmp_path / "out/heat_maps" / name) for name in names]
    assert [image.size for image in maps] == [(30, 20)] * 4
    assert [int(np.asarray(image)[5, 5]) for image in maps] == [64, 128, 0, 255]


def test_without_thresholds_nothing_is_decided(folder, tmp_path):
    assert [row[2] for row in rows(predict(Brightness(), folder, tmp_path / "out"))[1:]] == [""] * 4
    assert np.asarray(Image.open(tmp_path / "out/heat_maps/a.png.png")).max() == 255


def test_padding_is_in_no_heat_map(folder, tmp_path):
    model = Brightness()
    model.pixel_threshold.fill_(1.0)
    predict(model, folder, tmp_path / "out", keep_shape=True)
    heat = np.asarray(Image.open(tmp_path / "out/heat_maps/b/ü d.PNG.png"))
    assert heat.shape == (20, 30) and (heat == 128).all()


def test_a_file_or_a_list_of_files_is_enough(folder, tmp_path):
    predict(Brightness(), folder / "a.png", tmp_path / "one")
    assert files(tmp_path / "one") == ["heat_maps/a.png.png", "scores.csv"]
    assert rows(tmp_path / "one/scores.csv")[1][0] == "a.png"
    assert len(rows(predict(Brightness(), [folder / "a.png", folder / "b/c.jpg"], tmp_path / "two"))) == 3


def test_the_same_with_ones_own_trainer_and_a_fitted_detector(folder, tmp_path):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for make, maps in ((PaDiM, True), (DFM, True)):
        model = make(image_size=32, **({"n_components": 2} if make is DFM else {}))
        model.fit_batch(images).finish_fit()
        data = PredictData(folder, image_size=32, batch_size=2)
        out = tmp_path / make.__name__
        options = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
        trainer = pl.Trainer(callbacks=[PredictionWriter(out, folder)], enable_checkpointing=False, **options)
        trainer.predict(model, data, return_predictions=False)
        assert len(rows(out / "scores.csv")) == 5 and (out / "heat_maps").is_dir() == maps


def test_nothing_half_written_is_left_and_a_second_run_replaces_the_first(folder, tmp_path):
    (folder / "z.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"image: expected an image file at .*z\.png, and it is empty"):
        predict(Brightness(), folder, tmp_path / "out", batch_size=1)
    assert not (tmp_path / "out/scores.csv").exists() and all(
        not name.startswith(".") for name in files(tmp_path / "out")
    )
    with pytest.warns(UserWarning, match="1 of 5 files are left out"):
        predict(Brightness(), folder, tmp_path / "out", skip_broken=True)
    *scored, skipped = rows(tmp_path / "out/scores.csv")
    assert len(scored) == 5 and skipped == ["z.png", "", ""]


def test_what_one_folder_skipped_is_in_no_other_table(folder, tmp_path):
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False, accelerator="cpu")
    (folder / "z.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 5 files are left out"):
        predict(Brightness(), folder, tmp_path / "out", skip_broken=True, trainer=trainer)
    (folder / "z.png").unlink()
    trainer.callbacks.append(PredictionWriter(tmp_path / "again", folder))
    trainer.predict(Brightness(), PredictData(folder, image_size=16).predict_dataloader(), return_predictions=False)
    assert len(rows(tmp_path / "again/scores.csv")) == 5


def test_a_folder_without_images_says_what_is_in_it(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"root: expected images .* in .*, got only files ending in '.txt'"):
        predict(Brightness(), tmp_path / "in", tmp_path / "out")


def test_colours_get_brighter():
    palette = np.asarray(heat_map(torch.linspace(0, 1, 256)[None], 0.5).convert("L")).ravel().astype(int)
    assert palette[0] == 0 and palette[-1] == 255 and (np.diff(palette) >= 0).all()


def test_images_of_the_same_name_have_each_their_row_and_heat_map(folder, tmp_path):
    (folder / "x").mkdir()
    Image.new("L", (8, 8), 200).save(folder / "x" / "a.png")
    paths = [folder / "x/a.png", folder / "a.png", folder / "x/a.png"]
    table = rows(predict(Brightness(), paths, tmp_path / "out"))[1:]
    assert [row[0] for row in table] == ["x/a.png", "a.png", "x/a.png"]
    assert files(tmp_path / "out") == ["heat_maps/a.png.png", "heat_maps/x/a.png.png", "scores.csv"]


def test_results_do_not_go_among_the_images(folder):
    with pytest.raises(ValueError, match="out: expected a folder outside of .*in, in which images are looked for, got"):
        predict(Brightness(), folder, folder / "out")


def test_a_score_that_is_no_number_decides_nothing(folder, tmp_path):
    class Broken(Brightness):
        def forward(self, images):
            return {"anomaly_maps": images.mean(dim=1) * float("nan")}

    model = Broken()
    model.image_threshold.fill_(0.5)
    assert {row[2] for row in rows(predict(model, folder, tmp_path / "out"))[1:]} == {""}


def test_maps_below_zero_and_smaller_than_the_image(folder, tmp_path):
    class Small(Brightness):
        def forward(self, images):
            return {"anomaly_maps": torch.nn.functional.avg_pool2d(images.mean(dim=1), 4) - 2}

    model = Small()
    model.pixel_threshold.fill_(-1.5)
    predict(model, folder, tmp_path / "out", keep_shape=True)
    heat = np.asarray(Image.open(tmp_path / "out/heat_maps/b/ü d.PNG.png"))
    assert heat.shape == (20, 30) and heat.max() > 128


def test_names_that_no_table_or_disk_takes(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for name in (b"\xfcmlaut.png", b"n" * 250 + b".png"):
        Image.new("L", (8, 8), 9).save(tmp_path / "one.png")
        (tmp_path / "one.png").rename(source / os.fsdecode(name))
    predict(Brightness(), source, tmp_path / "out")
    assert len((tmp_path / "out/scores.csv").read_bytes().splitlines()) == 3
    assert len(files(tmp_path / "out/heat_maps")) == 2


def test_nothing_that_can_be_read_is_said(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"")
    with (
        pytest.raises(ValueError, match="root: expected an image that can be read, got none among 1 files"),
        pytest.warns(),
    ):
        predict(Brightness(), tmp_path / "in", tmp_path / "out", skip_broken=True)
