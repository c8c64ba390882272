"""Words as conditions: image and text towers of one model, with random weights in local files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from infbrush_wsi.conditioning.encoders import Encoder, TextEncoder, encode_prompts, load_encoder
from infbrush_wsi.errors import CheckpointError, ConditionError, ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = ["invasive carcinoma", "normal breast tissue"]
VISION = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 16,
}  # fmt: skip
PAD, UNKNOWN, END = "<pad>", "<unk>", "<eos>"
WORDS = [PAD, UNKNOWN, "invasive", "normal", "carcinoma", "breast", "tissue", END]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the CLIP kind as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    text = {k: v for k, v in VISION.items() if k not in ("image_size", "patch_size")}
    text |= {"vocab_size": len(WORDS), "max_position_embeddings": 8, "eos_token_id": 7, "pad_token_id": 0}
    config = transformers.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=12)
    transformers.CLIPModel(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, 7)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token=PAD, eos_token=END, model_max_length=8
    ).save_pretrained(folder)
    side = {"height": 32, "width": 32}
    transformers.CLIPImageProcessor(size=side, crop_size=side).save_pretrained(folder)
    return folder


def test_hf_images_and_words_are_the_librarys_own(clip_folder: Path, patches: np.ndarray) -> None:
    import transformers

    encoder = load_encoder(f"hf:{clip_folder}")
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, TextEncoder)
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(clip_folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip_folder)
    small = patches[:, :32, :32]
    with torch.inference_mode():
        out = model(
            **processor(list(small), return_tensors="pt"), **tokenizer(PROMPTS, padding=True, return_tensors="pt")
        )
    np.testing.assert_allclose(encoder(small), out.image_embeds.numpy(), rtol=1e-3, atol=1e-4)
    found = encode_prompts(encoder, PROMPTS)
    np.testing.assert_allclose(found, out.text_embeds.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.01
    record = encoder.record
    assert (record.dimension, record.size, record.unit_length, record.interpolation) == (12, 32, True, "bicubic")
    assert load_encoder(f"hf:{clip_folder}").record == record


def test_hf_vision_models_without_a_trained_pooler_give_their_class_token(tmp_path: Path, patches: np.ndarray) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = transformers.ViTModel(transformers.ViTConfig(**VISION), add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}, resample=2).save_pretrained(tmp_path)
    encoder = load_encoder(f"hf:{tmp_path}")
    assert encoder.record == load_encoder(f"hf:{tmp_path}").record
    small = patches[:, :32, :32]
    with torch.inference_mode():
        pixels = torch.from_numpy(small.transpose(0, 3, 1, 2)).float() / 127.5 - 1
        expected = model(pixel_values=pixels).last_hidden_state[:, 0]
    np.testing.assert_allclose(encoder(small), expected.numpy(), rtol=1e-3, atol=1e-4)
    assert (encoder.record.interpolation, encoder.record.mean) == ("bilinear", (0.5, 0.5, 0.5))
    with pytest.raises(ConditionError, match="knows images only"):
        encode_prompts(encoder, PROMPTS)
    with pytest.raises(ConfigError, match="hf:FOLDER"):
        load_encoder(f"hf:{tmp_path}", weights=tmp_path / "model.safetensors")


def test_open_clip_images_and_words_are_the_librarys_own(
    tmp_path: Path, patches: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_clip = pytest.importorskip("open_clip")
    small = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "small-for-tests", small)
    torch.manual_seed(0)
    model = open_clip.create_model("small-for-tests").eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    encoder = load_encoder("open_clip:small-for-tests", weights=tmp_path / "w.pt")
    tokens = open_clip.get_tokenizer("small-for-tests")(PROMPTS)
    settings = open_clip.get_model_preprocess_cfg(model)
    pixels = torch.from_numpy(patches[:, :32, :32].transpose(0, 3, 1, 2)).float() / 255
    mean, std = (torch.tensor(settings[key])[:, None, None] for key in ("mean", "std"))
    with torch.inference_mode():
        image, text = model.encode_image((pixels - mean) / std, True), model.encode_text(tokens, True)
    np.testing.assert_allclose(encoder(patches[:, :32, :32]), image.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(encode_prompts(encoder, PROMPTS), text.numpy(), rtol=1e-4, atol=1e-5)
    assert encode_prompts(encoder, PROMPTS[0]).shape == (1, 12)
    with pytest.raises(CheckpointError, match="no file of weights"):
        load_encoder("open_clip:small-for-tests", weights=tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_encoder("open_clip:small-for-tests", weights=tmp_path / "bad.pt")


def test_models_that_are_not_here_give_one_error_with_the_way_out(no_hub: None) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(CheckpointError, match=r"'hf:openai/clip-vit-base-patch32' cannot be loaded .*hf download open"):
        load_encoder("hf:openai/clip-vit-base-patch32")
    pytest.importorskip("open_clip")
    with pytest.raises(CheckpointError, match=r"cannot be loaded .*hf download laion/CLIP-ViT-B-32"):
        load_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-B-33", "did you mean.*ViT-B-32"),
        ("open_clip:ViT-B-32", "needs the tag of its weights.*laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32/best", "not 'best'"),
    ],
)
def test_names_that_mean_nothing(name: str, message: str) -> None:
    pytest.importorskip("open_clip")
    with pytest.raises(ConfigError, match=message):
        load_encoder(name)


def test_prompts_need_words_and_an_encoder_that_knows_them(clip_folder: Path) -> None:
    with pytest.raises(ConditionError, match="'statistics' knows images only"):
        encode_prompts(load_encoder(), "tumour")
    encoder = load_encoder(f"hf:{clip_folder}")
    for bad in ("", ["tumour", " "], []):
        with pytest.raises(ConditionError, match="not empty"):
            encode_prompts(encoder, bad)
