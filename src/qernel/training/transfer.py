"""Start training from another wavefunction: a neighbouring family, another sector, more electrons.

Every tensor is mapped by what it means. Features, experts and modulation are the same functions in every
system, and are copied; so is the attention, whose rotations follow the supercell. What belongs to the
source's system is adapted:

- the context's first layer, so that the network is the same function of the laboratory parameters where
  ranges differ, where a parameter varies that the source held fixed (the network does not depend on it
  yet), or is fixed that the source varied (the network stays as it was there);
- the first layer, where electrons have features that those of the source had not: the network does not depend
  on them yet;
- the orbitals, where another filling has other crystal momenta: each column takes the periodic part, Bloch
  coefficients and weights alike, of the source's column of the same band nearest in momentum; determinants
  correspond in their order, taken again where the source has fewer (all are new where that made some equal,
  or where the source has too few bands). Of networks in several momentum sectors this is so in each; sectors
  of one momentum correspond where the supercell is the same, and all others in their order.
"""

import itertools
from typing import NamedTuple, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qernel.hamiltonian.couplings import Family
from qernel.wavefunction.orbitals import BlochSeededOrbitals, FreeOrbitals
from qernel.wavefunction.psiformer import PsiFormer
from qernel.wavefunction.qernel import Qernel

Ansatz = TypeVar("Ansatz", Qernel, PsiFormer)

COPIED, ADAPTED, NEW = "copied", "adapted", "new"


class Transfer(NamedTuple):
    """A wavefunction and, for each of its tensors by name, whether it was copied, adapted or is new."""

    model: Qernel | PsiFormer
    tensors: dict[str, str]


def transfer(model: Ansatz, source: Ansatz, family: Family, source_family: Family) -> Transfer:
    """`model` with the weights of `source`, a wavefunction of `source_family`.

    What `source` has no counterpart of (orbitals without momenta in another filling, the modulation of a
    network that was not conditioned) stays as it is in `model`.

    Raises ValueError naming what differs otherwise.
    """
    made = {
        "embed": _embed(model, source),
        "orbitals": _orbitals(model, source),
        "context": _context(model, source, family, source_family),
    }
    ours, theirs = _named(model), _named(source)
    for name in theirs.keys() - ours.keys():
        if _module(name) not in (*made, "jastrow"):
            raise ValueError(f"{name.lstrip('.')}: none here, shape {theirs[name].shape} there")
    for module, (part, _) in made.items():
        theirs |= {f".{module}{name}": leaf for name, leaf in _named(part).items()}
    tensors = {}
    for name, tensor in ours.items():
        tensors[name] = made[_module(name)][1] if _module(name) in made else COPIED
        if name not in theirs and (".film" in name or _module(name) == "jastrow"):
            theirs[name], tensors[name] = tensor, NEW
        if name not in theirs or theirs[name].shape != tensor.shape:
            there = theirs[name].shape if name in theirs else "none"
            raise ValueError(f"{name.lstrip('.')}: shape {tensor.shape} here, {there} there")
    arrays, static = eqx.partition(model, eqx.is_array)
    leaves = [theirs[name].astype(tensor.dtype) for name, tensor in ours.items()]
    return Transfer(eqx.combine(jax.tree.unflatten(jax.tree.structure(arrays), leaves), static), tensors)


def describe(tensors: dict[str, str], start: str) -> str:
    """What became of the tensors, by module, in one line."""
    parts = []
    for how in (COPIED, ADAPTED, NEW):
        names = [_module(name) for name in tensors if tensors[name] == how]
        if names:
            counts = (f"{name} ({names.count(name)})" for name in dict.fromkeys(names))
            parts.append(f"{how}: {', '.join(counts)}")
    return f"tensors from {start}, by module: {'; '.join(parts)}"


def _embed(model: Ansatz, source: Ansatz):
    """The first layer for the features of `model`, and how it was made."""
    ours, theirs = model.features.names, source.features.names
    if ours == theirs:
        return source.embed, COPIED
    if not set(theirs) <= set(ours):
        raise ValueError(f"features {', '.join(ours)} here, {', '.join(theirs)} there")
    weight = np.zeros((len(ours), source.embed.weight.shape[1]))
    weight[[ours.index(name) for name in theirs]] = source.embed.weight
    return eqx.tree_at(lambda e: e.weight, source.embed, jnp.asarray(weight)), ADAPTED


def _orbitals(model: Ansatz, source: Ansatz):
    """Orbitals for `model` from those of `source`, and how they were made."""
    ours, theirs = model.orbitals, source.orbitals
    if jax.tree.structure(ours) == jax.tree.structure(theirs) and _shapes(ours) == _shapes(theirs):
        return theirs, COPIED
    if not (isinstance(ours, BlochSeededOrbitals) and isinstance(theirs, BlochSeededOrbitals)):
        return ours, NEW
    if ours.waves != theirs.waves or ours.weight.shape[:2] != theirs.weight.shape[:2]:
        return ours, NEW
    taken = _taken_columns(ours, theirs)
    if not taken:
        return ours, NEW
    coefficients, weight = np.array(ours.coefficients), np.array(ours.weight)
    for k, (other, columns) in taken.items():
        coefficients[:, k] = theirs.coefficients[:, other, columns]
        weight[:, :, k] = theirs.weight[:, :, other, columns]
    new = (jnp.asarray(coefficients), jnp.asarray(weight))
    return eqx.tree_at(lambda o: (o.coefficients, o.weight), ours, new), ADAPTED


class _Columns(NamedTuple):
    """Columns of one determinant, in the order in which another one takes them."""

    determinant: int
    columns: np.ndarray


def _taken_columns(ours: BlochSeededOrbitals, theirs: BlochSeededOrbitals) -> dict[int, _Columns]:
    """For determinants of `ours` what they take of `theirs`.

    Left out as a whole are sectors that lack a band, and those two of whose determinants would start equal:
    these would never separate.
    """
    others, taken = _corresponding_determinants(ours, theirs), {}
    for sector in np.split(np.arange(len(others)), ours.sectors):
        own = sector.tolist()
        different = {(ours.momenta[k % len(ours.momenta)], others[k]) for k in own}
        columns = {k: _nearest_columns(ours, theirs, k, others[k]) for k in own}
        found = {k: _Columns(others[k], each) for k, each in columns.items() if each is not None}
        if len(different) == len(found) == len(own):
            taken |= found
    return taken


def _corresponding_determinants(ours: BlochSeededOrbitals, theirs: BlochSeededOrbitals) -> list[int]:
    """For each determinant of `ours` that of `theirs`, in the order of those of its sector."""
    here, there = (each.weight.shape[-2] // each.sectors for each in (ours, theirs))
    sectors = _corresponding_sectors(ours, theirs)
    return [sector * there + k % there for sector in sectors for k in range(here)]


def _corresponding_sectors(
    ours: BlochSeededOrbitals | FreeOrbitals, theirs: BlochSeededOrbitals | FreeOrbitals
) -> list[int]:
    """For each sector of `ours` that of the same momentum in `theirs`, else the next of the others."""
    if isinstance(ours, FreeOrbitals) or isinstance(theirs, FreeOrbitals):
        return [0]
    there = theirs.sector_momenta if ours.supercell == theirs.supercell else []
    matching = [there.index(label) if label in there else None for label in ours.sector_momenta]
    others = [number for number in range(theirs.sectors) if number not in matching]
    spare = itertools.cycle(others or range(theirs.sectors))
    return [next(spare) if each is None else each for each in matching]


def _nearest_columns(
    ours: BlochSeededOrbitals, theirs: BlochSeededOrbitals, k: int, other: int
) -> np.ndarray | None:
    """For each column of determinant k of `ours` that of determinant `other` of `theirs` with the same spin
    and band, and the nearest momentum; None if there is no such band.

    Columns of equal momentum are bands, counted from below. So no two of `ours` become equal.
    """

    def columns(orbitals, k):
        spin = (np.arange(sum(orbitals.spins)) >= orbitals.spins[0]).astype(int)
        return np.array(orbitals.momenta[k % len(orbitals.momenta)]) @ orbitals.supercell.reciprocal, spin

    (wanted, spins), (given, given_spins) = columns(ours, k), columns(theirs, other)
    bands, given_bands, chosen = _bands(wanted, spins), _bands(given, given_spins), []
    for momentum, spin, band in zip(wanted, spins, bands, strict=True):
        matching = given_bands == band
        if spin in given_spins:
            matching &= given_spins == spin
        if not matching.any():
            return None
        (same,) = np.nonzero(matching)
        distance = np.linalg.norm(given[same] - momentum, axis=1).round(9)
        # Of several equally near momenta always the same.
        chosen.append(min(zip(distance, *given[same].T.round(9), same, strict=True))[-1])
    return np.array(chosen)


def _bands(momenta: np.ndarray, spins: np.ndarray) -> np.ndarray:
    """For each column the number of those before it with the same momentum and spin."""
    keys = [(*momentum.round(9), spin) for momentum, spin in zip(momenta, spins, strict=True)]
    return np.array([keys[:index].count(key) for index, key in enumerate(keys)])


def _context(model: Ansatz, source: Ansatz, family: Family, source_family: Family):
    """The context's embedding for `family`, and how it was made.

    With x = a x' + b the source's coordinate of our coordinate x', W x + b_0 = (W a) x' + (b_0 + W b).
    Sectors are the last coordinates, of which one is 1; where the source had but one, the network does not
    depend on the sector yet.
    """
    ours, theirs = model.context, source.context
    if ours is None or theirs is None:
        return ours, NEW
    sectors = _corresponding_sectors(model.orbitals, source.orbitals)
    same = family.ranges == source_family.ranges and sectors == list(range(source_family.sectors))
    if same or ours.output.weight.shape != theirs.output.weight.shape:
        return theirs, COPIED
    weight, bias = np.zeros(ours.hidden.weight.shape), np.array(theirs.hidden.bias, float)
    rows, by_sector = np.split(np.array(theirs.hidden.weight), [len(source_family.ranges)])
    if len(by_sector):
        if family.sectors > 1:
            weight[len(family.ranges) :] = by_sector[sectors]
        else:
            bias += by_sector[sectors[0]]
    places = {name: i for i, name in enumerate(family.names)}
    for row, (name, low, high) in zip(rows, source_family.ranges, strict=True):
        if name in places:
            _, start, stop = family.ranges[places[name]]
            weight[places[name]] = (stop - start) / (high - low) * row
        else:
            start = stop = getattr(family, name)
        bias += (start + stop - low - high) / (high - low) * row
    new = (jnp.asarray(weight), jnp.asarray(bias))
    return eqx.tree_at(lambda c: (c.hidden.weight, c.hidden.bias), theirs, new), ADAPTED


def _module(name: str) -> str:
    """embed for .embed.weight, blocks for .blocks[0].experts..."""
    return name.lstrip(".").replace("[", ".").split(".")[0]


def _named(tree) -> dict[str, jax.Array]:
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _shapes(orbitals) -> tuple[tuple[int, ...], ...]:
    return tuple(leaf.shape for leaf in jax.tree.leaves(orbitals))
