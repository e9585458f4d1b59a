"""What a sweep shows at a few of its contexts: densities, structure factors, pair correlations."""

from collections.abc import Iterator, Sequence

import xarray

from qernel.config import Config
from qernel.lattice import CELL_AREA
from qernel.numbers import with_error
from qernel.report import snapshots
from qernel.report.density import BLUR
from qernel.report.drawing import Index
from qernel.report.publish import Folder, publish_figure
from qernel.report.sweep_data import (
    PAIRS,
    density_columns,
    moire_constant_of,
    pair_columns,
    point_at,
    structure_columns,
)
from qernel.report.sweep_words import setting


def snapshots_section(data: xarray.Dataset, name: str, config: Config, folder: Folder) -> Iterator[str]:
    """HTML of what was measured of it; its files go to `folder` under names that begin with `name`."""
    chosen = snapshots.spread_indices(data["energy"].shape)
    lengths = [moire_constant_of(point_at(data, index)) for index in chosen]
    supercell = config.system.lattice()
    if "density" in data:
        yield publish_figure(
            folder,
            f"{name}-density",
            "Density",
            _about_densities(data, lengths),
            snapshots.sweep_densities(data, chosen, supercell, lengths),
            density_columns(data, chosen, supercell),
        )
    if "structure_factor" in data:
        yield publish_figure(
            folder,
            f"{name}-structure",
            "Structure factor",
            _about_structure(data, chosen),
            snapshots.sweep_structure(data, chosen, supercell, lengths),
            structure_columns(data, chosen),
        )
    if any(each in data for each in PAIRS):
        yield publish_figure(
            folder,
            f"{name}-pairs",
            "Pair correlation",
            "Pairs of electrons at a distance r, 1 for electrons at random places; up to half the "
            f"supercell's shortest vector. Bands: one standard error. {setting(data)}.",
            snapshots.sweep_pairs(data, chosen, lengths),
            pair_columns(data, chosen),
        )


def _about_densities(data: xarray.Dataset, lengths: Sequence[float]) -> str:
    attrs, bins = data.attrs, data["density"].shape[-1]
    counts = attrs["walkers_per_context"] * attrs["samples"] * attrs["electrons"] / bins**2
    cell = f"moiré cell = {CELL_AREA * lengths[0] ** 2:.2f} nm²"
    if len(set(lengths)) > 1:
        cell = "the moiré cell's area, (√3/2) a_M², varies"
    return (
        "Density in electrons per moiré cell, repeated periodically; divide by the cell's area for nm⁻² "
        f"({cell}). Dashes: supercell; crosses: moiré lattice sites; line on the colour bar: the mean, "
        f"{attrs['electrons'] / attrs['moire_cells']:.3f}. Drawn after a Gaussian blur of {BLUR:g} a_M; the "
        f"CSV file holds the {bins} × {bins} bins as counted, {counts:.1f} electrons each on average. "
        f"{setting(data)}."
    )


def _about_structure(data: xarray.Dataset, chosen: Sequence[Index]) -> str:
    peaks = ""
    if "bragg_sqrt3" in data:
        points = [point_at(data, index) for index in chosen]
        values = (with_error(float(at["bragg_sqrt3"]), float(at["bragg_sqrt3_error"])) for at in points)
        peaks = f" S(K), a peak in the √3 × √3 crystal: {', '.join(values)}."
    return (
        "S(q) = ⟨|Σ exp(−iq·r)|²⟩ / N at the supercell's reciprocal vectors. Dashes: the moiré Brillouin "
        "zone; circles: its corners K; squares: the shortest moiré reciprocal vectors g, where the potential "
        f"imprints a peak on every state.{peaks} {setting(data)}."
    )
