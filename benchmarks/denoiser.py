"""How long does the denoiser take on a full image, beside the same network run as published code runs it?

    python benchmarks/denoiser.py [--quick] [--json PATH]

A network of the 'small' preset with about 40 M weights and without what the published one lacks (CANO, positions) is
evaluated on all pixels of 128², 256² and 512². Its grid has 64² nodes at each size, as if trained on windows of that
size. 'published' is the same network with the same weights in the published layout (see published_denoiser.py); what
does not change between evaluations, nearest neighbours and interpolation weights, is made before. Both give the same
values in float32, which is checked first. 'ours_bf16' is ours under autocast; 'ours_cano' is ours with the
preset's own CANO, positions and splat, for what the package's default costs.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import harness

harness.like_the_command_line()

SIZES = (128, 256, 512)
MULTIPLIERS = (1, 2, 5, 6)
"""Channels of the U-Net's levels: the published network of 40 M has (1, 2, 4, 8) with half as wide levels before it."""
LIKE_PUBLISHED = {"cano": "off", "position": "none", "transfer": "knn"}
WAYS = ("ours", "published", "ours_bf16", "ours_cano")


def make_denoiser(size: int, **changes: Any) -> Any:
    """A network of the 'small' preset for windows of that size, random weights in every layer, no dropout."""
    import torch
    from published import awaken

    from infbrush_wsi.models.infbrush import InfBrushDenoiser, preset

    torch.manual_seed(0)
    net = InfBrushDenoiser(**preset("small", window=size, grid_multipliers=MULTIPLIERS, **changes))
    awaken(net)
    return net.eval()


def make_calls(size: int, ways: tuple[str, ...]) -> dict[str, Any]:
    """Evaluations of one image of that size, by way; each returns (pixels, 3)."""
    import torch
    from published_denoiser import NearestWeights, plain_copy, published_forward

    from infbrush_wsi.conditioning.condition import ConditionBatch
    from infbrush_wsi.domain import Box, Shape
    from infbrush_wsi.points.grid import GridGeometry
    from infbrush_wsi.points.support import LatticeSupport

    net = make_denoiser(size, **LIKE_PUBLISHED)
    box, pitch = Box(0, 0, size, size), float(net.config.grid_pitch)
    support = LatticeSupport(box, box, Shape(size, size), 1.0, GridGeometry.covering(size, size, pitch))
    tokens = torch.randn(1, size * size, 3)
    arguments = (torch.tensor([500.0]), ConditionBatch.none(1))

    def ours(network: Any, bf16: bool = False) -> Any:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return network(tokens, support, *arguments)[0].float()

    calls = {"ours": lambda: ours(net), "ours_bf16": lambda: ours(net, bf16=True)}
    if "ours_cano" in ways:
        with_cano = make_denoiser(size)
        calls["ours_cano"] = lambda: ours(with_cano)
    if "published" in ways:
        twin, nearest = plain_copy(net), NearestWeights.of(support)
        image = tokens.reshape(1, size, size, 3).permute(0, 3, 1, 2).contiguous()

        def published() -> Any:
            with torch.no_grad():
                return published_forward(twin, image, *arguments, nearest)[0].flatten(1).T

        calls["published"] = published
    return {way: calls[way] for way in ways}


def measure_size(size: int, quick: bool) -> dict[str, Any]:
    """Times of all ways, and how far their results are apart."""
    from published import check_equal

    calls = make_calls(size, WAYS[:3] if quick else WAYS)
    results = {way: call() for way, call in calls.items()}
    ours, published, half = (results[way] for way in WAYS[:3])
    difference = check_equal(f"{size}², ours and published", ours, published)
    spread = float(ours.std())
    largest, mean = (float(value) / spread for value in ((half - ours).abs().max(), (half - ours).abs().mean()))
    repeat = (8 if quick else 40) * 128 // size
    times = harness.compare(calls, repeat, warm_up=0)  # the comparison of the results was the warm-up
    print(
        f"{size}²: " + ", ".join(f"{way} {value:.3f} s" for way, value in times.items()) + "; bfloat16 differs by "
        f"{largest:.3f} standard deviations at most, {mean:.4f} in the mean"
    )
    row = {"size": size, "difference": difference, "bf16_largest": largest, "bf16_mean": mean}
    return row | {f"{way}_s": value for way, value in times.items()}


def measure_memory(way: str, size: int) -> dict[str, float]:
    """Peak memory of this process while it evaluates in one way."""
    call = make_calls(size, (way,))[way]
    before = harness.resident_mib()
    for _ in range(2):
        call()
    return {f"{way}_work_mib": harness.peak_mib() - before}


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(measure_memory(options.memory[0], int(options.memory[1]))))
        return
    millions = sum(p.numel() for p in make_denoiser(SIZES[0], **LIKE_PUBLISHED).parameters()) / 1e6
    print(f"{millions:.1f} M weights")
    rows, ratios = [], {}
    for size in SIZES:
        row = measure_size(size, options.quick)
        for way in () if options.quick else WAYS:
            row |= harness.run_apart(__file__, "--memory", way, size)
        rows.append(row)
        ratios[f"dense_forward_vs_published_{size}"] = row["ours_s"] / row["published_s"]
        ratios[f"dense_forward_bf16_vs_published_{size}"] = row["ours_bf16_s"] / row["published_s"]
        ratios[f"dense_forward_bf16_vs_fp32_{size}"] = row["ours_bf16_s"] / row["ours_s"]
        ratios[f"bf16_largest_difference_{size}"] = row["bf16_largest"]
        ratios[f"bf16_mean_difference_{size}"] = row["bf16_mean"]
    harness.finish("denoiser", options, ratios, rows, {"weights_millions": millions, "multipliers": MULTIPLIERS})


if __name__ == "__main__":
    main()
