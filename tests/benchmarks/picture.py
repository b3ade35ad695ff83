"""The strip of heat maps at the top of the README: one detector, fitted on good bricks, and one image of each kind.

uv run python tests/benchmarks/picture.py
"""

from __future__ import annotations

from pathlib import Path

from oddlab import PaDiM
from oddlab.data import ImageData, read_folder, texture_folder
from oddlab.lab import heat_map_grid, trainer
from oddlab.lab.figures import encoded, pixels, use_defaults
from oddlab.lab.session import quiet_lightning

PICTURE = Path(__file__).parents[2] / "notebooks" / "images" / "bricks.jpg"
SIDE = 128


def main() -> None:
    quiet_lightning()
    use_defaults()
    data = ImageData(*read_folder(texture_folder(), "brick"), image_size=SIDE, random_state=0)
    model = PaDiM(image_size=SIDE, random_state=0)
    fitting = trainer("cpu")
    fitting.fit(model, data)
    first: dict[str, dict] = {}
    for item in data.test_set:
        first.setdefault(item["defect"], item)
    images, masks, maps, titles = [], [], [], []
    for defect, item in sorted(first.items(), key=lambda pair: (pair[0] != "good", pair[0])):
        found = model.predict_step({"image": item["image"][None]})
        images.append(item["image"])
        masks.append(item["mask"])
        maps.append(found["anomaly_maps"][0])
        decision = "anomalous" if found["pred_labels"][0] else "good"
        titles.append(f"{defect.replace('_', ' ')}\n{found['pred_scores'][0]:.0f}: {decision}")
    limits = min(float(one.max()) for one in maps) * 0.8, max(float(one.max()) for one in maps)
    figure = heat_map_grid(images, maps, masks, titles, cols=6, limits=limits)
    figure.set_dpi(120)
    PICTURE.write_bytes(encoded(pixels(figure))[0])
    print(f"{PICTURE}, image threshold {model.image_threshold:.1f}")


if __name__ == "__main__":
    main()
