"""The form 'Generate slide': a model, a class, a seed and a size become a layer."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from infbrush_wsi._optional import require
from infbrush_wsi.errors import InfbrushError
from infbrush_wsi.models.bundle import read_info
from infbrush_wsi.models.shipped import shipped_models
from infbrush_wsi.plugins.napari.request import SlideRequest
from infbrush_wsi.plugins.napari.sample import MODEL, STEPS

FOLDER = "a folder"
NO_CLASS = "no class"
SIDE_UM = 1024.0
MAX_SIDE = 1e6
MAX_SEED = 2**31 - 1
"""Of a field of Qt."""


def generate_slide_widget(napari_viewer: Any = None) -> Any:
    """A form whose button adds a generated slide to a viewer; what cannot be done is said in a notification.

    The classes and the unit follow the model as soon as it is chosen. Fields are ``model``, ``folder``, ``condition``,
    ``seed``, ``slide_width``, ``slide_height``, ``steps`` and the button ``generate``.

    Args:
        napari_viewer: a viewer; None: the one in use when the button is pressed.

    Returns:
        a `magicgui.widgets.Container`.

    Raises:
        MissingExtraError: without napari.
    """
    known = [NO_CLASS]
    form = _form(require("magicgui.widgets", extra="napari", purpose="show the form 'Generate slide'"), known)
    form.model.changed.connect(lambda: _follow_model(form, known))
    form.folder.changed.connect(lambda: _follow_model(form, known))
    form.generate.changed.connect(lambda: _add_slide(form, napari_viewer))
    _follow_model(form, known)
    return form


def _form(widgets: Any, known: list[str]) -> Any:
    shipped = shipped_models()
    folder = os.environ.get(MODEL, "")
    length = {"value": SIDE_UM, "min": 0.0, "max": MAX_SIDE, "step": 64.0}
    return widgets.Container(
        widgets=[
            widgets.ComboBox(
                name="model", choices=[*shipped, FOLDER], value=FOLDER if folder or not shipped else shipped[0]
            ),
            widgets.FileEdit(name="folder", mode="d", value=folder, tooltip="What 'infbrush train --out' has written"),
            # A function, because napari resets choices when layers change: a list would be that of the beginning.
            widgets.ComboBox(name="condition", label="class", choices=lambda _: list(known)),
            widgets.SpinBox(name="seed", value=7, min=0, max=MAX_SEED),
            widgets.FloatSpinBox(name="slide_width", **length),
            widgets.FloatSpinBox(name="slide_height", **length),
            widgets.SpinBox(name="steps", value=STEPS, min=1, max=1000, tooltip="More are slower and better"),
            widgets.PushButton(name="generate", text="Generate"),
        ]
    )


def _chosen(form: Any) -> str:
    """The model, '' for none."""
    if form.model.value != FOLDER:
        return str(form.model.value)
    folder = str(form.folder.value)
    return "" if folder == "." else folder


def _follow_model(form: Any, known: list[str]) -> None:
    """Offer the classes, put into `known`, and the unit of the model that is chosen."""
    form.folder.visible = form.model.value == FOLDER
    model = _chosen(form)
    classes: tuple[str, ...] = ()
    unit = "micrometer"
    # A path may be half typed. What is wrong with it is said when the button is pressed.
    with suppress(InfbrushError):
        if model:
            info = read_info(model)
            classes, unit = info.classes, info.unit
    known[:] = classes or [NO_CLASS]
    form.condition.reset_choices()
    form.condition.value = known[-1]
    short = "µm" if unit == "micrometer" else unit
    form.slide_width.label, form.slide_height.label = f"width ({short})", f"height ({short})"


def _add_slide(form: Any, viewer: Any) -> None:
    """Add the layers of what the form asks for."""
    condition = form.condition.value
    request = SlideRequest(
        model=_chosen(form),
        condition=None if condition == NO_CLASS else condition,
        seed=form.seed.value,
        width=form.slide_width.value,
        height=form.slide_height.value,
        steps=form.steps.value,
    )
    try:
        layers = request.layers()
    except InfbrushError as error:
        _say(error)
        return
    target = viewer or require("napari", extra="napari", purpose="show a slide").current_viewer()
    for data, settings, _ in layers:
        target.add_image(data, **settings)


def _say(error: InfbrushError) -> None:
    notifications = require("napari.utils.notifications", extra="napari", purpose="show a message")
    notifications.show_error(str(error))
