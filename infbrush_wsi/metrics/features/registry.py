"""Finding a feature network by name."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from infbrush_wsi.conditioning.encoders import families
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.metrics.features.encoder import encoder_features
from infbrush_wsi.metrics.features.protocol import FeatureExtractor

GROUP = "infbrush_wsi.features"
"""Entry point group in which other packages register a factory; see `Factory`."""
DEFAULT_FEATURES = "texture"
"""What is used where nothing is said: needs no download. Its numbers are not those of the literature."""
BUILT_IN = {
    "clip": "infbrush_wsi.metrics.features.fidelity:clip",
    "inception": "infbrush_wsi.metrics.features.fidelity:inception",
    "infbrush": "infbrush_wsi.metrics.features.small_network:infbrush",
    "random-conv": "infbrush_wsi.metrics.features.random_conv:random_conv",
    "texture": "infbrush_wsi.metrics.features.texture:texture",
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureSpec:
    """A parsed name ``KIND[:ARGUMENT][@WEIGHTS]``.

    Attributes:
        text: the name as given.
        kind: which factory, for example 'timm'.
        argument: what follows the first colon, for example the name of an architecture; '' if nothing does.
        weights: path of a file of weights, None to let the library find its own.
    """

    text: str
    kind: str
    argument: str
    weights: str | None

    @classmethod
    def parse(cls, text: str) -> FeatureSpec:
        """Take a name apart; an ``@`` in a file name is kept, the first one separates."""
        name, at, weights = text.partition("@")
        kind, _, argument = name.partition(":")
        return cls(text, kind, argument, weights if at else None)

    def refuse(self, *, argument: bool = False, weights: bool = False) -> None:
        """Refuse parts that a kind has no use for.

        Raises:
            ConfigError: if one of them was given.
        """
        if argument and self.argument:
            raise ConfigError(f"the features {self.kind!r} take nothing after a colon, not {self.text!r}")
        if weights and self.weights is not None:
            raise ConfigError(f"the features {self.kind!r} take no file of weights, not {self.text!r}")


class Factory(Protocol):
    """What an entry point of the group names: a function that makes the network."""

    def __call__(self, spec: FeatureSpec, device: str) -> FeatureExtractor:
        """Make the network of `spec` on a torch device."""
        ...


def feature_names() -> tuple[str, ...]:
    """Kinds that are known: built-in ones, encoders, and installed plugins of both."""
    return tuple(sorted({*BUILT_IN, *_plugins(), *families()}))


def feature_extractor(name: str = DEFAULT_FEATURES, *, device: str = "cpu") -> FeatureExtractor:
    """Make a feature network.

    Args:
        name: ``KIND[:ARGUMENT][@WEIGHTS]``, one of

            * ``texture``: hand-made wavelet and colour statistics, without weights or download (the default);
            * ``infbrush``: a small network that comes with the package, trained on H&E and aerial images;
            * ``inception``: the 2048-d network of FID, ``clip``: ViT-B/32, both of torch-fidelity;
            * ``timm:NAME``, ``torchvision:NAME``, ``tiatoolbox:NAME``, ``open_clip:NAME/TAG``, ``hf:NAME``: any encoder
              of `infbrush_wsi.conditioning.encoders`, among them those made for pathology;
            * ``random-conv`` or ``random-conv:SEED``: untrained, see its documentation for what it cannot tell;
            * whatever other packages register under the entry point group ``infbrush_wsi.features``.

            Libraries download weights that they have not got; ``@PATH`` takes a local file instead.
        device: torch device that computes.

    Returns:
        The network.

    Raises:
        ConfigError: if no such name is known.
        CheckpointError: if the weights cannot be had or do not fit.
        MissingExtraError: if the library is not installed.

    Example:
        >>> features = feature_extractor("texture")
        >>> features(np.zeros((1, 64, 64, 3), np.uint8)).shape == (1, features.dimension)
        True
    """
    spec = FeatureSpec.parse(name)
    if spec.kind in BUILT_IN:
        module, _, attribute = BUILT_IN[spec.kind].partition(":")
        factory: Factory = getattr(importlib.import_module(module), attribute)
    elif spec.kind in _plugins():
        factory = _plugins()[spec.kind].load()
    elif spec.kind in families():
        factory = encoder_features
    else:
        raise ConfigError(f"no features are named {name!r}; known are {', '.join(feature_names())}")
    made: Any = factory(spec, device)
    if not isinstance(made, FeatureExtractor):
        raise ConfigError(
            f"the features {name!r} come from a factory that makes {made!r}, which is no FeatureExtractor"
        )
    return made


@cache
def _plugins() -> dict[str, EntryPoint]:
    found = {}
    for entry in entry_points(group=GROUP):
        if entry.name in {*BUILT_IN, *families()}:
            log.warning("the features %r of %s are not used: the name is taken", entry.name, entry.value)
        else:
            found[entry.name] = entry
    return found
