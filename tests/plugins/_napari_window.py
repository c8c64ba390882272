"""Run in a process of its own with a display: napari opens a store and the sample; what it shows goes into an .npz.

Arguments: store, result, picture of the window.
"""

from __future__ import annotations

import sys

import napari
import numpy as np
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtWidgets import QApplication

from infbrush_wsi.plugins.napari import sample

NAME = "infbrush-wsi"


def look(viewer: napari.Viewer, y: float, x: float) -> np.ndarray:
    """The window at one screen pixel for each pixel of 0.5 µm, with (y, x) micrometres in its middle."""
    # An eighth of a pixel away from where two pixels are equally near, whether the window's sides are odd or even.
    viewer.camera.center = (y + 0.0625, x + 0.0625)
    viewer.camera.zoom = 2.0
    QApplication.processEvents()
    return viewer.screenshot(flash=False)


def show_store(viewer: napari.Viewer, store: str) -> dict[str, np.ndarray]:
    """The middle of a store of 128 x 90 pixels without its labels and with them."""
    layers = viewer.open(store, plugin=NAME)
    labels = next(layer for layer in layers if type(layer).__name__ == "Labels")
    labels.visible = False
    plain = look(viewer, 22.5, 32.0)
    labels.visible = True
    return {"plain": plain, "painted": look(viewer, 22.5, 32.0)}


def show_sample(viewer: napari.Viewer) -> dict[str, np.ndarray]:
    """The middle of the sample."""
    sample.SIDE, sample.STEPS = 400, 1
    viewer.layers.clear()
    viewer.open_sample(NAME, "generated_slide")
    return {"sample": look(viewer, 100.0, 100.0)}


def show_widget(viewer: napari.Viewer) -> dict[str, np.ndarray]:
    """The middle of a slide that the form makes, and what it says of a folder that is no model."""
    viewer.layers.clear()
    _, form = viewer.window.add_plugin_dock_widget(NAME, "Generate slide")
    classes, labels = list(form.condition.choices), [form.slide_width.label, form.slide_height.label]
    form.condition.value, form.seed.value, form.steps.value = "Normal", 11, 1
    form.slide_width.value, form.slide_height.value = 100.0, 80.0
    form.generate.native.click()
    shown = look(viewer, 40.0, 50.0)
    model = form.folder.value
    form.folder.value = "/nowhere"
    form.generate.native.click()
    messages = [str(record.message) for record in notification_manager.records]
    form.folder.value = model
    return {
        "widget": shown,
        "classes": np.array(classes),
        "labels": np.array(labels),
        "layers": np.array(len(viewer.layers)),
        "messages": np.array(messages),
    }


def main() -> None:
    store, result, picture = sys.argv[1:]
    viewer = napari.Viewer()
    found = show_store(viewer, store) | show_sample(viewer) | show_widget(viewer)
    viewer.scale_bar.visible = True
    Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).save(picture)
    np.savez(result, **found)
    viewer.close()


if __name__ == "__main__":
    main()
