"""Encoders: patches of images, or words, become the embeddings that condition a model.

``load_encoder("timm:resnet50")`` gives an encoder by name; ``write_embeddings`` stores the embeddings of a collection
and ``EmbeddingStore`` reads them: as means, grids, layouts and random samples.
"""

from infbrush_wsi.conditioning.encoders.interpolate import interpolate
from infbrush_wsi.conditioning.encoders.protocol import Encoder, EncoderOptions, TextEncoder, encode_prompts
from infbrush_wsi.conditioning.encoders.record import EncoderRecord, check_same_encoder
from infbrush_wsi.conditioning.encoders.registry import families, load_encoder
from infbrush_wsi.conditioning.encoders.settings import StoredSlide, StoreSettings
from infbrush_wsi.conditioning.encoders.store import EmbeddingStore
from infbrush_wsi.conditioning.encoders.write import write_embeddings

__all__ = [
    "EmbeddingStore",
    "Encoder",
    "EncoderOptions",
    "EncoderRecord",
    "StoreSettings",
    "StoredSlide",
    "TextEncoder",
    "check_same_encoder",
    "encode_prompts",
    "families",
    "interpolate",
    "load_encoder",
    "write_embeddings",
]
