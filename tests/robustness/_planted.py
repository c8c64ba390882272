"""A family with a defect of each kind, to see whether the fuzzer finds them."""

import os
import signal
import time

from infbrush_wsi.errors import ConfigError

KINDS = ("fine", "refused", "foreign", "hang", "crash", "exit", "half", "changed", "memory", "left")


def prepare(folder):
    """Nothing."""


def mutate(rng, seeds, case):
    """One kind after the other, by the number of the case."""
    number = int(case.name)
    (case / "input").write_text("as it was")
    return {"kind": KINDS[number % len(KINDS)], "mutations": str(number)}


def run(plan, case, out):
    """Do what the kind says."""
    kind = plan["kind"]
    if kind == "refused":
        raise ConfigError("a value is wrong; give another")
    if kind == "foreign":
        raise KeyError("a library's own error")
    if kind == "hang":
        time.sleep(1000)
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "exit":
        os._exit(0)
    if kind == "half":
        (out / "x.png").write_bytes(b"half")
        raise ConfigError("refused, but something is left")
    if kind == "changed":
        (case / "input").write_text("another")
    if kind == "memory":
        _ = bytearray(5 << 30)
    if kind == "left":
        (out / ".x.partial-1").touch()
