"""What lessons share: grids of pictures, strips, dots, diagrams, tables and loops."""

import re
from html import unescape

import numpy as np
import pytest
import torch
from nbconvert.filters import markdown2html

from oddlab.data import ImageDataset, read_folder, texture_folder
from oddlab.lab import (
    NumberTable,
    diagram,
    features_of,
    heat_map_grid,
    loss_curve,
    picture_grid,
    seed_dots,
    strip,
    subplots,
    train,
)
from oddlab.lab.figures import WIDTH, pixels


def inside(figure):
    """Whether every text of the drawn figure lies inside of it."""
    pixels(figure)
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [
        text.get_window_extent()
        for ax in figure.axes
        for text in [*ax.texts, ax.title, ax.xaxis.label, ax.yaxis.label]
        if text.get_text() and text.get_visible() and (ax.axison or text in ax.texts)
    ]
    return all(b.x0 > -2 and b.y0 > -2 and b.x1 < width + 2 and b.y1 < height + 2 for b in boxes)


class TestGrids:
    def test_one_scale_for_all_pictures_and_one_bar(self):
        figure = picture_grid([torch.zeros(4, 4), torch.full((4, 4), 3.0), np.eye(4)], ["a", "b"], label="value (mm)")
        clims = {ax.images[0].get_clim() for ax in figure.axes[:3]}
        assert clims == {(0.0, 3.0)} and figure.axes[3].get_ylabel() == "value (mm)" and len(figure.axes) == 4
        assert picture_grid([np.eye(3)], limits=(-1, 1)).axes[0].images[0].get_clim() == (-1, 1)

    def test_colours_are_shown_as_they_are(self):
        colours = torch.rand(3, 4, 4)
        shown = picture_grid([colours]).axes[0].images[0].get_array()
        assert np.allclose(shown, colours.permute(1, 2, 0))

    def test_many_pictures_go_into_rows_and_fit_the_page(self):
        figure = picture_grid([np.eye(4)] * 7, [f"picture {i}" for i in range(7)], cols=3)
        assert sum(bool(ax.images) for ax in figure.axes) == 7 and len(figure.axes) == 9
        assert figure.get_size_inches()[0] <= WIDTH and inside(figure)

    def test_heat_maps_share_a_scale_and_mark_the_mask(self):
        images, maps = torch.rand(3, 3, 16, 16), torch.arange(3.0)[:, None, None].expand(3, 8, 8)
        mask = torch.zeros(16, 16)
        mask[4:8, 4:8] = 1
        figure = heat_map_grid(images, maps, [None, mask], ["x", "y", "z"])
        assert {ax.images[1].get_clim() for ax in figure.axes[:3]} == {(0.0, 2.0)}
        assert [len(ax.collections) for ax in figure.axes[:3]] == [0, 1, 0] and len(figure.axes) == 4

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda: picture_grid([]), "pictures: expected at least one"),
            (lambda: picture_grid([np.zeros(3)]), r"pictures: expected shapes \(H, W\) or \(3, H, W\), got \(3,\)"),
            (
                lambda: picture_grid([np.eye(2)], ["a", "b"]),
                "titles: expected at most one for each of 1 pictures, got 2",
            ),
            (lambda: heat_map_grid([np.eye(2)], []), "anomaly_maps: expected one for each of 1 images, got 0"),
            (lambda: strip(lambda: None, []), "settings: expected at least one"),
        ],
    )
    def test_bad_input_is_named(self, make, says):
        with pytest.raises(ValueError, match=says):
            make()

    def test_a_strip_shows_what_each_setting_draws(self):
        def draw(tone=0.0, size=1):
            figure, ax = subplots(figsize=(3, 3))
            ax.imshow(np.full((2, 2), tone), cmap="gray", vmin=0, vmax=1)
            return figure

        figure = strip(draw, [{"tone": 0.0, "size": 2}, {"tone": 1.0}])
        assert [ax.get_title() for ax in figure.axes] == ["tone = 0.0, size = 2", "tone = 1.0"]
        dark, bright = (ax.images[0].get_array()[100:140, 100:140].mean() for ax in figure.axes)
        assert dark < 60 < 200 < bright and inside(figure)


class TestPlots:
    def test_dots_of_seeds_and_their_mean(self):
        figure = seed_dots({"a": [1.0, 2.0, 6.0], "b": [4.0]}, "seconds")
        dots, line = figure.axes[0].lines[:2]
        assert dots.get_xdata().tolist() == [1.0, 2.0, 6.0] and line.get_xdata().tolist() == [3.0, 3.0]
        assert "seconds" in figure.axes[0].get_xlabel() and inside(figure)
        assert "a dot for each seed" in figure.axes[0].get_xlabel()
        assert "a dot for each split" in seed_dots({"a": [1.0]}, "seconds", each="split").axes[0].get_xlabel()
        assert inside(seed_dots({"a layer with a long name, chosen by validation": [0.9]}, "AUROC on test images"))
        with pytest.raises(ValueError, match="values: expected numbers for each name, got none for b"):
            seed_dots({"a": [1.0], "b": []}, "seconds")

    def test_a_diagram_points_from_box_to_box(self):
        boxes = {"image": (0, 0), "feature\nmaps": (1, 0), "distance": (1, 1), "score": (2, 1)}
        arrows = [("image", "feature\nmaps", "network"), ("feature\nmaps", "distance"), ("distance", "score", "max")]
        figure = diagram(boxes, arrows)
        ax = figure.axes[0]
        assert len(ax.patches) == 4 and inside(figure)
        heads = [text.xy for text in ax.texts if getattr(text, "arrow_patch", None)]
        assert np.allclose(heads, [(0.67, 0), (1, 0.7), (1.67, 1)])
        with pytest.raises(ValueError, match=r"arrows: expected names among \['image', .*\], got 'mask'"):
            diagram(boxes, [("image", "mask")])

    def test_losses_of_different_lengths_end_together(self):
        figure = loss_curve({"training": np.linspace(3, 1, 100), "validation": [3, 2, 1.5]}, "nats")
        ends = {line.get_xdata()[-1] for line in figure.axes[0].lines}
        assert ends == {100.0} and figure.axes[0].get_ylabel() == "nats" and inside(figure)


class TestTables:
    def test_it_prints_and_renders(self):
        table = NumberTable(
            {"a": {"AUROC": [0.9, 0.95], "images": 1344}, "b": {"AUROC": 0.5, "images": None}}, digits=2
        )
        assert repr(table) == "    AUROC        images\na   0.93 ± 0.04  1,344\nb   0.5"
        assert table._repr_markdown_().splitlines()[1:3] == ["| --- | ---: | ---: |", "| a | 0.93 ± 0.04 | 1,344 |"]

    @pytest.mark.parametrize("name", ["|z|", "a*b*c", "<b>", "`x`", "a\\|b"])
    def test_marks_of_markdown_in_a_cell_are_shown_as_they_are(self, name):
        html = markdown2html(NumberTable({name: {name: name}})._repr_markdown_())
        assert [unescape(cell) for cell in re.findall("<t[hd].*?>(.+?)</t", html)] == [name] * 3

    def test_rows_with_other_headings_are_refused(self):
        with pytest.raises(ValueError, match=r"rows: expected the headings \['x'\] in each, got \['y'\] in 'b'"):
            NumberTable({"a": {"x": 1}, "b": {"y": 1}})


class TestLoops:
    def test_features_are_those_of_all_images_in_order(self, capsys):
        images = ImageDataset(read_folder(texture_folder(), "brick")[0][:5], 16)
        found = features_of(lambda x: {"mean": x.mean(dim=(2, 3)), "first": x[:, :1]}, images, batch_size=2)
        assert torch.equal(found["mean"], torch.stack([images[i]["image"].mean(dim=(1, 2)) for i in range(5)]))
        assert found["first"].shape == (5, 1, 16, 16) and capsys.readouterr().out == "batches of images: 0 of 3\n"

    def test_features_need_no_gradients(self):
        weight = torch.ones(1, requires_grad=True)
        assert not features_of(lambda x: x * weight, [{"image": torch.ones(3, 2, 2)}]).requires_grad

    def test_training_is_seeded_and_leaves_the_global_state_alone(self):
        def run(random_state):
            weight = torch.zeros(3, requires_grad=True)
            data = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + 2
            losses = train(
                lambda x: (x - weight).square().mean(),
                [weight],
                data,
                steps=150,
                batch_size=8,
                lr=0.1,
                random_state=random_state,
            )
            return losses, weight.detach()

        before = torch.get_rng_state()
        losses, weight = run(0)
        assert torch.equal(before, torch.get_rng_state()) and run(0)[0] == losses != run(1)[0]
        assert (weight - 2).abs().max() < 0.5 and losses[-1] < losses[0]
