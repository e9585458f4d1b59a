"""What a sweep shows, in sentences."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray

from qernel.config import Config
from qernel.report.checks import Flag, kept_momentum
from qernel.report.drawing import Index
from qernel.report.numbers import fixed
from qernel.report.style import parameters_in_words, spoken, symbol, with_unit
from qernel.report.sweep_data import index_of_largest, point_at, swept
from qernel.units import CONTEXT_PARAMETERS


def extent(data: xarray.Dataset) -> str:
    """Which parameters vary and how far, e.g. moiré depth λ from 0.5 to 2, 7 values."""
    parts = []
    for name in swept(data):
        low, high = float(data[name].min()), float(data[name].max())
        parts.append(f"{spoken(name)} from {low:g} to {with_unit(name, high)}, {data.sizes[name]} values")
    return "; ".join(parts) or "one context"


def setting(data: xarray.Dataset) -> str:
    """What was measured and how much: system, parameters, walkers and samples."""
    attrs, ranges = data.attrs, {}
    for name in CONTEXT_PARAMETERS:
        if name in data.coords:
            ranges[name] = (float(data[name].min()), float(data[name].max()))
        elif f"system_{name}" in attrs:  # a parameter that is younger than the sweep is not
            ranges[name] = (float(attrs[f"system_{name}"]),) * 2
    parameters = parameters_in_words(attrs["system_moire_potential"], ranges)
    samples = f"{attrs['samples']}"
    if "samples" in data:  # older files do not say
        least, most = int(data["samples"].min()), int(data["samples"].max())
        samples = f"{least}" if least == most else f"{least} to {most}"
    return (
        f"{attrs['electrons']} electrons in {attrs['moire_cells']} moiré cells, {parameters}; "
        f"{attrs['walkers_per_context']} walkers × {samples} samples per context"
    )


def origin(data: xarray.Dataset) -> str:
    """By which program, when, and from which wavefunction."""
    attrs = data.attrs
    when = attrs["created"].replace("T", " ").replace("+00:00", " UTC")
    stopped = f"; {attrs['stopped']}" if "stopped" in attrs else ""
    return (
        f"Measured {when} by {attrs['program']}, with the wavefunction of training step "
        f"{attrs['training_step']} and {attrs['moves_per_sample']} Langevin moves per sample{stopped}"
    )


def leaves_range(data: xarray.Dataset, config: Config) -> bool:
    """Whether the sweep goes beyond the contexts that the model was trained over."""
    return any(
        name in data.coords and not (low <= data[name].min() and data[name].max() <= high)
        for name, (low, high) in config.trained.items()
    )


def findings(data: xarray.Dataset, flags: Mapping[Index, Sequence[Flag]]) -> list[str]:
    """Errors, distance from exact energies where known, and how many contexts are in doubt."""
    count = data["energy"].size
    return [
        f"{count} {'context' if count == 1 else 'contexts'}: standard error of the energy "
        f"{_between(data['energy_error'], 3)} meV per electron, R-hat {_between(data['energy_r_hat'], 3)}, "
        f"acceptance {_between(data['acceptance'], 2)}.",
        *([_distance(data)] if "exact_energy" in data else []),
        verdict(count, flags),
        *([f"{kept[0].upper()}{kept[1:]}."] if (kept := kept_momentum(data)) else []),
    ]


def _distance(data: xarray.Dataset) -> str:
    difference = data["energy"] - data["exact_energy"]
    worst = index_of_largest(abs(difference))
    point = point_at(data, worst)
    value = float(point["energy"] - point["exact_energy"])
    where = ", ".join(f"{symbol(name)} = {with_unit(name, float(point[name]))}" for name in swept(data))
    return (
        f"Distance from the exact energy: root mean square {float(np.sqrt((difference**2).mean())):.3f} meV "
        f"per electron; largest {fixed(value, 3, sign=True)} ± {fixed(float(point['energy_error']), 3)} meV"
        f"{f' at {where}' if where else ''}."
    )


def verdict(count: int, flags: Mapping[Index, Sequence[Flag]]) -> str:
    """How many contexts are flagged."""
    if not flags:
        return "No context is flagged."
    bugs = sum(any(flag.bug for flag in found) for found in flags.values())
    wrong = f" {bugs} of them cannot be right (red)." if bugs else ""
    return f"{len(flags)} of {count} are flagged, see the table.{wrong}"


def _between(values: xarray.DataArray, decimals: int) -> str:
    low, high = (fixed(float(value), decimals) for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"
