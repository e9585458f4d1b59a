"""The ansätze: one file per concept, and one per ansatz."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.random import split
from jaxtyping import PRNGKeyArray

from qernel.config import Config
from qernel.hamiltonian.hamiltonian import Hamiltonian
from qernel.wavefunction.base import LogPsi, Wavefunction
from qernel.wavefunction.features import PeriodicFeatures
from qernel.wavefunction.film import ContextEmbedding, ModulatedNorm
from qernel.wavefunction.jastrow import PairJastrow
from qernel.wavefunction.linear import Linear
from qernel.wavefunction.norm import RMSNorm
from qernel.wavefunction.orbitals import BlochSeededOrbitals, FreeOrbitals, Seeds, bloch_seeds, crystal_seeds
from qernel.wavefunction.psiformer import Layer, PsiFormer
from qernel.wavefunction.qernel import Qernel, make_blocks

__all__ = [
    "LogPsi",
    "PsiFormer",
    "Qernel",
    "Wavefunction",
    "count_parameters",
    "equal_fillings",
    "make_wavefunction",
    "wavefunction_shapes",
]


def make_wavefunction(config: Config, hamiltonian: Hamiltonian, key: PRNGKeyArray) -> Wavefunction:
    """A freshly initialized ansatz for a Hamiltonian, as its configuration says."""
    build = {"qernel": _qernel, "psiformer": _psiformer, "slaternet": _psiformer}
    model = build[config.model.ansatz](config, hamiltonian, key)
    dtype = jnp.dtype(config.training.precision)
    return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, model)


def wavefunction_shapes(config: Config, hamiltonian: Hamiltonian) -> Wavefunction:
    """What `make_wavefunction` makes, with the shapes of its arrays in their place: at no cost."""
    return eqx.filter_eval_shape(make_wavefunction, config, hamiltonian, jax.random.key(0))


def count_parameters(model: Wavefunction) -> dict[str, int]:
    """Number of variational parameters by module, FiLM (with the context's embedding) on its own.

    Its shapes suffice (`wavefunction_shapes`).
    """
    counts: dict[str, int] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(model):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            names = [entry.name for entry in path if hasattr(entry, "name")]
            group = names[1] if names[0] in ("blocks", "layers") else names[0]
            if "film" in names or group == "context":
                group = "conditioning"
            counts[group] = counts.get(group, 0) + math.prod(leaf.shape)
    return counts


def equal_fillings(config: Config, hamiltonian: Hamiltonian, most: int) -> int:
    """How many fillings of the ansatz's total momentum are equally low, `most` at most; 1 in closed shells.

    Of several momenta that of the most fillings counts. 0 for orbitals that start in none.
    """
    if config.model.orbitals == "free":
        return 0
    _, sectors = _seeds(config, hamiltonian)
    return max(sum(1 for _ in itertools.islice(fillings, most)) for fillings in sectors)


def _qernel(config: Config, hamiltonian: Hamiltonian, key: PRNGKeyArray) -> Qernel:
    model = config.model
    keys = split(key, 4)
    features, embedding = _features(config, hamiltonian), _embedding_size(config)
    return Qernel(
        features=features,
        embed=Linear(features.size, model.size, key=keys[0]),
        context=_context(config, keys[1]),
        blocks=make_blocks(
            model.size,
            model.layers,
            model.heads,
            model.groups,
            model.head_size or model.size // model.heads,
            model.experts,
            model.expert_size or model.size // 2,
            embedding,
            key=keys[2],
        ),
        norm=ModulatedNorm(RMSNorm(model.size), embedding),
        orbitals=_orbitals(config, hamiltonian, keys[3]),
        jastrow=_jastrow(config, hamiltonian),
    )


def _psiformer(config: Config, hamiltonian: Hamiltonian, key: PRNGKeyArray) -> PsiFormer:
    model = config.model
    keys = split(key, 4)
    features, embedding = _features(config, hamiltonian), _embedding_size(config)
    head_size = model.head_size or model.size // model.heads
    attend = model.ansatz == "psiformer"
    return PsiFormer(
        features=features,
        embed=Linear(features.size, model.size, key=keys[0]),
        context=_context(config, keys[1]),
        layers=tuple(
            Layer(model.size, model.heads, head_size, embedding, attend=attend, key=each)
            for each in split(keys[2], model.layers)
        ),
        orbitals=_orbitals(config, hamiltonian, keys[3]),
        jastrow=_jastrow(config, hamiltonian),
    )


def _features(config: Config, hamiltonian: Hamiltonian) -> PeriodicFeatures:
    model = config.model
    place, order = model.sector == "free", model.orbitals == "crystal"
    return PeriodicFeatures(hamiltonian.supercell, hamiltonian.spins, model.moire_features, place, order)


def _embedding_size(config: Config) -> int:
    return config.model.embedding if config.model.conditioned and config.context_names else 0


def _context(config: Config, key: PRNGKeyArray) -> ContextEmbedding | None:
    size = _embedding_size(config)
    coordinates = len(config.contexts) + len(config.model.momenta)
    return ContextEmbedding(coordinates, size, key=key) if size else None


def _jastrow(config: Config, hamiltonian: Hamiltonian) -> PairJastrow | None:
    pairs = hamiltonian.electrons > 1 and config.model.jastrow
    return PairJastrow(hamiltonian.supercell, hamiltonian.spins) if pairs else None


def _orbitals(
    config: Config, hamiltonian: Hamiltonian, key: PRNGKeyArray
) -> BlochSeededOrbitals | FreeOrbitals:
    model, supercell, spins = config.model, hamiltonian.supercell, hamiltonian.spins
    if model.orbitals == "free":
        return FreeOrbitals(supercell, sum(spins), model.size, model.determinants, real=model.real, key=key)
    seeds = _seeds(config, hamiltonian)
    gain = 0.1 if model.orbitals == "crystal" else 0.5  # the start is to stay close to the mean field
    return BlochSeededOrbitals.from_seeds(
        supercell, spins, model.size, model.determinants, seeds, gain=gain, key=key
    )


def _seeds(config: Config, hamiltonian: Hamiltonian) -> Seeds:
    """The one-electron states that orbitals start from, at the middle of the family."""
    supercell, spins, model = hamiltonian.supercell, hamiltonian.spins, config.model
    with jax.ensure_compile_time_eval():  # Bloch states are numbers, also where only shapes are wanted
        couplings = hamiltonian.family.couplings(hamiltonian.family.middle())
    if model.orbitals == "crystal":
        return crystal_seeds(supercell, spins, couplings)
    return bloch_seeds(supercell, spins, couplings, model.momenta or (model.momentum,))
