"""Start training from another wavefunction: a neighbouring family, another sector, more electrons."""

from typing import TypeVar

import equinox as eqx
import jax

from qernel.wavefunction.psiformer import PsiFormer
from qernel.wavefunction.qernel import Qernel

Ansatz = TypeVar("Ansatz", Qernel, PsiFormer)


def taken_over(model: Ansatz, source: Ansatz) -> Ansatz:
    """`model` with the weights of `source`.

    Orbitals belong to a filling: where that of `source` is another (supercell, electrons, momenta), those
    of `model` stay. Everything else is independent of the system's size, and has to have the same shape.

    Raises ValueError naming what differs.
    """
    same_filling = jax.tree.structure(model.orbitals) == jax.tree.structure(source.orbitals)
    if not same_filling or _shapes(model.orbitals) != _shapes(source.orbitals):
        source = eqx.tree_at(lambda m: m.orbitals, source, model.orbitals)
    ours, theirs = _shapes(model), _shapes(source)
    for place in ours | theirs:
        if ours.get(place) != theirs.get(place):
            here, there = ours.get(place, "none"), theirs.get(place, "none")
            raise ValueError(f"{place.lstrip('.')}: shape {here} here, {there} there")
    return jax.tree.unflatten(jax.tree.structure(model), jax.tree.leaves(source))


def _shapes(tree) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}
