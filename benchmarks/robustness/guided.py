"""The same targets with inputs that follow the code that they reach, by Atheris.

    pip install atheris   (not a dependency of the package)
    python benchmarks/robustness/guided.py KIND [--runs 20000] [--keep DIR]

One file is fuzzed at a time: a document or picture that one of the targets reads. Atheris counts the branches that an
input reaches in the package and keeps those that reach new ones, so it finds what random damage seldom does; it sees
Python only, and ends at the first input that does not end in success or an error of infbrush_wsi.errors, which it
writes to --keep.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from family import load_family

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "geojson": ("labels", "areas.geojson", {"kind": "geojson"}),
    "mask": ("labels", "mask.geojson", {"kind": "mask"}),
    "layout": ("labels", "polygons.json", {"kind": "layout"}),
    "table": ("labels", "table.csv", {"kind": "table"}),
    "labels": ("labels", "labels.png", {"kind": "raster"}),
    "config": ("config", "run.yaml", {"settings": []}),
    "tiff": ("reader", "slide.tif", {"mpp": None, "reader": None}),
    "raster": ("reader", "raster.tif", {"mpp": None, "reader": None}),
    "png": ("reader", "slide.png", {"mpp": None, "reader": None}),
    "embedding": ("embeddings", "one.npy", {}),
}
"""Family, file and plan of a target."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=sorted(KINDS), help="of file")
    parser.add_argument("--runs", type=int, default=20_000, help="inputs")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_failures"), help="folder for failing inputs")
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("guided fuzzing needs Atheris: pip install atheris")
    name, file, plan = KINDS[options.kind]
    with atheris.instrument_imports(include=["infbrush_wsi"], enable_loader_override=False):
        family = load_family(name)
        from infbrush_wsi.errors import InfbrushError

        seeds = Path(tempfile.mkdtemp(prefix="infbrush-guided-"))
        family.prepare(seeds)
    case, corpus = seeds / "case", seeds / "corpus"
    for folder in (case, corpus, options.keep):
        folder.mkdir(parents=True, exist_ok=True)
    (corpus / file).write_bytes((seeds / file).read_bytes())

    def one_input(data: bytes) -> None:
        (case / file).write_bytes(data)
        try:
            family.run(plan | {"file": file}, case, case)
        except InfbrushError:
            return

    flags = [f"-runs={options.runs}", f"-artifact_prefix={options.keep}/", "-timeout=10", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
