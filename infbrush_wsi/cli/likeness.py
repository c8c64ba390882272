"""Conditions of `infbrush generate` that are embeddings: one from a file, or those of a stored image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from infbrush_wsi.cli.options import point
from infbrush_wsi.errors import ConditionError, ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from infbrush_wsi.conditioning.layout import EmbeddingGrid
    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

AS_IT_IS = "as-is"


@dataclass(frozen=True)
class Likeness:
    """An image whose embeddings say what is where.

    Attributes:
        store: of embeddings, as `infbrush embed` writes it.
        image: key or name of the image; None: the only one.
        at: x,y of the region's top left corner in the image, in the store's unit.
        order: 'as-is', or how the cells are rearranged: shift, flip, shuffle.
        seed: of the rearrangement.
    """

    store: Path
    image: str | None = None
    at: str | None = None
    order: str = AS_IT_IS
    seed: int = 0

    def layout(self, pipe: InfBrushPipeline) -> EmbeddingGrid:
        """The layout for a model; beyond the stored image it is mirrored.

        Raises:
            ConfigError: for options that cannot be understood.
            ConditionError: if the store cannot be used, or comes from another encoder than the model's.
            RegionError: if the corner lies outside the image.
        """
        from infbrush_wsi.conditioning.encoders import EmbeddingStore
        from infbrush_wsi.conditioning.layout.reference import Arrangement, rearranged

        if self.order != AS_IT_IS and self.order not in get_args(Arrangement):
            known = ", ".join((AS_IT_IS, *get_args(Arrangement)))
            raise ConfigError(f"--like-order must be one of {known}, not {self.order!r}")
        corner = None if self.at is None else point(self.at, "--like-at", "units of the image")
        store = EmbeddingStore(self.store)
        pipe.check_encoder(store.settings.encoder)
        if store.settings.unit != pipe.info.unit:
            raise ConditionError(
                f"'{self.store}' is measured in {store.settings.unit}, the model's images in {pipe.info.unit}; embed "
                "images of the model's kind"
            )
        layout = store.layout(self._image(store), corner, outside="mirror")
        return layout if self.order == AS_IT_IS else rearranged(layout, self.seed, self.order)  # type: ignore[arg-type]

    def _image(self, store: Any) -> str:
        if self.image is not None:
            return self.image
        keys = [slide.key for slide in store.slides]
        if len(keys) != 1:
            shown = ", ".join(slide.name for slide in store.slides[:5]) + (" ..." if len(keys) > 5 else "")
            raise ConditionError(f"'{self.store}' holds {len(keys)} images ({shown}); choose one with --like-image")
        return str(keys[0])


def embedding_from_file(path: Path) -> NDArray[np.float32]:
    """An embedding (D,) or tokens (M, D) from a file of NumPy.

    Raises:
        ConditionError: if it holds no such array.
    """
    import numpy as np

    try:
        values = np.load(path, allow_pickle=False)
    except Exception as error:
        # NumPy meets damaged headers with many kinds of errors, of the tokenizer and of memory too.
        raise ConditionError(f"cannot read an embedding from '{path}': {error}; save it with numpy.save") from error
    if not isinstance(values, np.ndarray) or values.ndim not in (1, 2) or values.dtype.kind not in "fiu":
        shape = getattr(values, "shape", None)
        raise ConditionError(f"'{path}' must hold one array of numbers of shape (D,) or (M, D), not {shape}")
    return values.astype(np.float32)
