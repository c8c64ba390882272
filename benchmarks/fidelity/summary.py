"""What the rows of the fidelity benchmark say: means over seeds, ratios with intervals, a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

COLUMNS = ("crop_frechet", "whole_frechet", "crop_kernel", "whole_kernel", "crop_precision", "crop_recall")
Row = dict[str, Any]


def name_of(row: Row) -> str:
    """The arm, or arm and variant."""
    return f"{row['arm']} {row['variant']}" if row.get("variant") else str(row["arm"])


def values(rows: Sequence[Row], kind: str, arm: str, metric: str) -> dict[int, float]:
    """By seed."""
    found = [row for row in rows if (row["kind"], name_of(row)) == (kind, arm) and metric in row["metrics"]]
    return {row["seed"]: row["metrics"][metric]["value"] for row in found}


def ratios_of(rows: Sequence[Row]) -> dict[str, float]:
    """Ours over published: the mean over seeds of the ratio's logarithm, and a 95 % t interval of it."""
    ratios: dict[str, float] = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        for metric in ("crop_frechet", "whole_frechet"):
            one, two = (values(rows, kind, arm, metric) for arm in ("published", "ours"))
            logs = np.log([two[seed] / one[seed] for seed in sorted(set(one) & set(two))])
            name = f"{metric}_ours_vs_published_{kind}"
            ratios[name] = float(np.exp(logs.mean()))
            if len(logs) > 1:
                from scipy.stats import t

                reach = float(t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5)
                ratios |= {f"{name}_low": float(np.exp(logs.mean() - reach))}
                ratios |= {f"{name}_high": float(np.exp(logs.mean() + reach))}
    return ratios


def table(rows: Sequence[Row]) -> str:
    """Means (and spread) over seeds, a line for each data set and arm."""
    lines = [f"{'data':8}{'arm':16}{'seeds':>6}{'steps':>8}" + "".join(f"{name:>20}" for name in COLUMNS)]
    for kind, arm in dict.fromkeys((row["kind"], name_of(row)) for row in rows):
        mine = [row for row in rows if (row["kind"], name_of(row)) == (kind, arm)]
        steps = np.mean([row.get("steps", 0) for row in mine])
        cells = "".join(f"{_cell(list(values(mine, kind, arm, name).values())):>20}" for name in COLUMNS)
        lines.append(f"{kind:8}{arm:16}{len(mine):>6}{steps:>8.0f}{cells}")
    return "\n".join(lines)


def _cell(found: Sequence[float]) -> str:
    if not found:
        return "-"
    spread = f" ± {np.std(found, ddof=1):.2g}" if len(found) > 1 else ""
    return f"{np.mean(found):.3g}{spread}"
