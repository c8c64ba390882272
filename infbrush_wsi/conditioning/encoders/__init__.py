"""Encoders: patches of images, or words, become the embeddings that condition a model.

``load_encoder("timm:resnet50")`` gives an encoder by name; ``write_embeddings`` stores the embeddings of a collection
and ``EmbeddingStore`` reads them: as means, grids, layouts and random samples.
"""

from infbrush_wsi.conditioning.encoders.protocol import Encoder, EncoderOptions, TextEncoder, encode_prompts
from infbrush_wsi.conditioning.encoders.record import EncoderRecord, check_same_encoder
from infbrush_wsi.conditioning.encoders.registry import families, load_encoder

__all__ = [
    "Encoder",
    "EncoderOptions",
    "EncoderRecord",
    "TextEncoder",
    "check_same_encoder",
    "encode_prompts",
    "families",
    "load_encoder",
]
