"""Calls of the command line: options of other types, sizes and combinations, and files that are not what they say."""

from __future__ import annotations

import random
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

from mutate_bytes import damage_file
from mutate_documents import HOSTILE

from targets.images import write_images
from targets.networks import write_model

NUMBERS = (
    "nan",
    "inf",
    "-inf",
    "-1",
    "0",
    "0.5",
    "1e309",
    "1e-320",
    "99999999999999999999",
    "1,2",
    "",
    " ",
    "x",
    "0x10",
    "２",
)
REGIONS = (
    "0,0,32,32",
    "0,0,0,0",
    "-5,0,10,10",
    "1e9,0,1,1",
    "0,0,999999999,999999999",
    "a,b,c,d",
    "1,2,3",
    "nan,0,1,1",
)
COMMANDS: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "info": (("IN",), {"--json": ()}),
    "validate": (("IN",), {"--windows": ("1", *NUMBERS), "--decode": (), "--json": ()}),
    "export": (
        ("IN", "OUT"),
        {
            "--level": ("1", *NUMBERS),
            "--region": REGIONS,
            "--mpp": ("1", "2", *NUMBERS),
            "--assume-mpp": ("0.5", *NUMBERS),
            "--ome-version": ("0.4", "0.6", ""),
            "--layout": ("nested", "x"),
            "--compression": ("jpeg", "deflate", "lzw"),
            "--overwrite": (),
        },
    ),
    "generate": (
        ("MODEL", "--out", "STORE", "--size", "40", "--steps", "2"),
        {
            "--size": ("33x41", "0", "-1", "x", "1x", "nan", "5x5x5"),
            "--mpp": NUMBERS,
            "--condition": ("a", "z", "", "\x00"),
            "--seed": NUMBERS,
            "--guidance": ("2", *NUMBERS),
            "--steps": ("1", "0", "-1", "x", "1001"),
            "--tile": ("32", *NUMBERS),
            "--halo": ("exact", "2", *NUMBERS),
            "--frame": NUMBERS,
            "--engine": ("joint", "sweep", "x"),
            "--crs": ("EPSG:4326", "x"),
            "--origin": ("0,0", *REGIONS),
            "--paint": ("IN", "nowhere.geojson"),
            "--embedding": ("IN",),
            "--chunk": ("32", *NUMBERS),
            "--shard": NUMBERS,
            "--memory-gib": NUMBERS,
            "--sampler": ("ddim", "x"),
            "--precision": ("x",),
            "--plan": ("OUT",),
            "--classes": ("1=a", "=", "a=b=c"),
            "--thumbnail": ("OUT",),
            "--like": ("IN",),
            "--reference": ("IN",),
        },
    ),
    "train": (
        ("--source", "IN", "--out", "RUN", "--steps", "1", "--workers", "0"),
        {
            "--labels": ("folder", "none", "IN"),
            "--mpp": ("1", *NUMBERS),
            "--resolution": NUMBERS,
            "--assume-mpp": NUMBERS,
            "--bands": ("1", "1,2,3", "9", *NUMBERS),
            "--window": NUMBERS,
            "--points": NUMBERS,
            "--sampler": ("x",),
            "--validation": NUMBERS,
            "--group-pattern": ("(", "x", ""),
            "--system": ("multilevel", "x", "infdiff-latent"),
            "--preset": ("x", "small"),
            "--batch": ("-1", "0", "x"),
            "--learning-rate": NUMBERS,
            "--precision": ("x",),
            "--seed": NUMBERS,
            "--minutes": ("nan", "-1", "0"),
            "--config": ("IN",),
            "--set": ("optim.decay=9", "x", "a.b=["),
            "--resume": (),
            "--autoencoder": ("MODEL", "IN"),
            "--embeddings": ("IN",),
        },
    ),
    "inpaint": (
        ("MODEL", "IN", "--mask", "8,8,8,8", "--region", "0,0,48,48", "--out", "OUT", "--steps", "2"),
        {
            "--mask": (*REGIONS, "IN"),
            "--region": REGIONS,
            "--level": NUMBERS,
            "--mask-unit": ("crs", "x"),
            "--seed": NUMBERS,
            "--assume-mpp": ("0.5", *NUMBERS),
            "--strength": NUMBERS,
            "--weight": NUMBERS,
            "--rounds": ("0", "-1", "x"),
            "--condition": ("a", "z"),
            "--sampler": ("x",),
            "--start": ("inversion", "x"),
            "--bands": ("1,2,3", *NUMBERS),
        },
    ),
    "evaluate": (
        ("IN", "IN", "--out", "RUN", "--resamples", "0"),
        {
            "--crops": ("1", *NUMBERS),
            "--crop-size": ("8", *NUMBERS),
            "--spacing": NUMBERS,
            "--features": ("x", "timm:"),
            "--bands": NUMBERS,
            "--tile": NUMBERS,
            "--training": ("IN",),
            "--held-out": ("IN",),
            "--seed": NUMBERS,
        },
    ),
    "embed": (
        ("IN", "--encoder", "statistics", "--out", "STORE"),
        {
            "--mpp": ("1", *NUMBERS),
            "--tile": ("16", *NUMBERS),
            "--stride": NUMBERS,
            "--encoder": ("x", "timm:x", ""),
            "--assume-mpp": ("0.5", *NUMBERS),
            "--bands": NUMBERS,
        },
    ),
    "view": (
        ("IN",),
        {
            "--port": ("-1", "70000", "x"),
            "--host": ("x.invalid", "8.8.8.8"),
            "--tiles": ("x",),
            "--scale": ("1", "a,b", "nan,nan"),
            "--size": ("x", "0"),
        },
    ),
}
SERVES = ("--port", "--host", "--tiles", "--scale", "--size")
FILES = ("slide.tif", "slide.png", "raster.tif", "five.ome.zarr", "map.ome.zarr", "nowhere", ".", "slide.dzi", "ready")
OUTPUTS = (
    "x.png",
    "x.jpg",
    "x.tif",
    "x.ome.tif",
    "x.dzi",
    "x.dicom",
    "x.ome.zarr",
    "x.geojson",
    "x.bmp",
    "no/x.png",
    "x",
)


@lru_cache(maxsize=1)
def app() -> Any:
    """The command line as tests call it."""
    from typer.testing import CliRunner

    from infbrush_wsi.cli import app as commands

    return CliRunner(), commands


def prepare(folder: Path) -> None:
    """Write images and a model, and call the commands that need most imports once."""
    write_images(folder)
    model = str(write_model(folder))
    runner, commands = app()
    done = folder / "done"
    shutil.rmtree(done, ignore_errors=True)
    done.mkdir()
    for call in (
        ["info", str(folder / "slide.tif")],
        ["info", model],
        ["generate", model, "--out", str(done / "x.ome.zarr"), "--size", "40", "--steps", "2"],
    ):
        assert runner.invoke(commands, call).exit_code == 0, call
    shutil.rmtree(done)


def mutate(rng: random.Random, seeds: Path, case: Path) -> dict[str, Any]:
    """One call; one in five reads a damaged file."""
    command = rng.choice(list(COMMANDS))
    given, options = COMMANDS[command]
    call = [command, *given]
    chosen = rng.sample(sorted(options), k=min(len(options), rng.choice((1, 1, 2, 3, 5))))
    for name in chosen or SERVES[:1]:
        value = [rng.choice(options[name])] if options[name] else []
        call += [name, *value]
    roll = rng.random()
    if roll < 0.1:
        call.insert(rng.randrange(1, len(call) + 1), str(rng.choice(HOSTILE))[:500].replace("\ud800", "?"))
    elif roll < 0.2:
        call.pop(rng.randrange(1, len(call)))
    file = rng.choice(FILES)
    name = file
    if rng.random() < 0.2 and (seeds / file).is_file():
        shutil.copyfile(seeds / file, case / file)
        damage_file(rng, case / file)
        name = f"CASE/{file}"
    if command == "view" and not any(option in call for option in SERVES):
        call = ["view"]  # with nothing wrong it would serve for ever
    places = {"IN": name, "OUT": rng.choice(OUTPUTS)}
    return {"call": call, "places": places, "seeds": str(seeds), "mutations": " ".join(call)[:200]}


def run(plan: dict[str, Any], case: Path, out: Path) -> None:
    """Call it: exit code 0, or 1 with one line of error, or 2 with the usage; nothing is left of what failed."""
    from infbrush_wsi.errors import ConfigError

    seeds = Path(plan["seeds"])
    where = plan["places"]["IN"]
    source = case / where.removeprefix("CASE/") if where.startswith("CASE/") else seeds / where
    named = {
        "IN": str(source),
        "OUT": str(out / plan["places"]["OUT"]),
        "STORE": str(out / "x.ome.zarr"),
        "RUN": str(out / "run"),
        "MODEL": str(seeds / "model"),
    }
    runner, commands = app()
    result = runner.invoke(commands, [named.get(word, word) for word in plan["call"]])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2), f"exit code {result.exit_code}"
    if result.exit_code == 1 and plan["call"][0] != "validate":
        assert result.stderr.count("error: ") >= 1, f"no line of error: {result.stderr[-300:]}"
    assert "Traceback" not in result.stderr, result.stderr[-500:]
    if result.exit_code:
        raise ConfigError(result.stderr[-200:] or "refused")
