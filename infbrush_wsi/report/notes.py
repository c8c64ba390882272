"""Plain words beside the pictures: what a run of this length can show."""

from __future__ import annotations

LONG_RUN = 20_000
"""Steps from which a run of the tiny preset is no longer called short."""


def notes(steps: int, seconds: float, *, phantom: bool) -> list[str]:
    """Paragraphs for the report.

    Args:
        steps: of training.
        seconds: of training.
        phantom: whether the real images are this package's phantoms.
    """
    first = (
        f"The model behind these images was trained for {steps} steps ({seconds / 60:.1f} minutes). The pictures are "
        "the first ones it made with these seeds; none was chosen. The crops are the most stained windows of the real "
        "and of the generated image, found by the same rule."
    )
    paragraphs = [first]
    if steps < LONG_RUN:
        paragraphs.append(
            "So short a run shows that the way from slide to slide works, not what the method can do. Expect the "
            "colours of the stain and dark spots where nuclei would be, under a grain of colour noise that a longer "
            "training removes; glands are not closed, and classes may look more alike than they are. "
            "To go on from here: infbrush train --resume --minutes 60 --out DEMO/model."
        )
    if phantom:
        paragraphs.append(
            "The real images are phantoms: procedural pictures of four tissue classes, written as pyramidal TIFF and "
            "read back through OpenSlide like any slide. They resemble H&E sections only as far as a test needs it. "
            "Give --source to use slides of your own."
        )
    return paragraphs
