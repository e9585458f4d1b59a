"""Negative controls: electrons without interaction must show nothing that a transition would show."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from qernel.batching import walker_mesh
from qernel.estimators.statistics import estimate
from qernel.hamiltonian import Coulomb, moire_hamiltonian
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.lattice import supercell_of
from qernel.sampling import initial_walkers, make_sampling
from qernel.transition import locate
from qernel.verification.check import Check
from qernel.verification.hamiltonian import standard_family
from qernel.wavefunction.slater import BlochDeterminant

_GROUP = "negative controls"
_DEPTHS = np.linspace(0.7, 1.5, 9)


def check_no_jump(*, walkers: int = 512, samples: int = 60) -> Iterator[Check]:
    """`qernel transition` finds none in the Coulomb energy of non-interacting electrons.

    Seven in nine cells, a closed shell, whose states are filled with the interaction switched off and
    measured with it: smooth in the depth.
    """
    family = standard_family(ranges=(("moire_depth", 0.5, 2.0),))
    hamiltonian = moire_hamiltonian(supercell_of(9), (7, 0), family)
    mesh = walker_mesh(walkers)
    sample = make_sampling(hamiltonian, mesh, 4, jnp.float64, 32)
    start = initial_walkers(jax.random.key(3), hamiltonian.supercell, 7, 1, walkers, jnp.float64)
    measure = jax.jit(jax.vmap(Coulomb(hamiltonian.supercell), (0, None)))
    energies, errors = [], []
    for number, depth in enumerate(_DEPTHS):
        contexts = jnp.array([[depth]])
        couplings = jax.tree.map(lambda x: x[0], couplings_of(hamiltonian, contexts, jnp.float64))
        model = BlochDeterminant(hamiltonian.supercell, (7, 0), couplings, shell=3.01)
        now, values = start, []
        for index in range(20 + samples):
            key = jax.random.fold_in(jax.random.key(4 + number), index)
            now, _ = sample(model, now, contexts, key)
            if index >= 20:
                values.append(np.asarray(measure(now.electrons[0], couplings)))
        found = estimate(np.stack(values))
        unit = float(couplings.energy_unit) / 7
        energies.append(unit * float(found.mean))
        errors.append(unit * float(found.error))
    found = locate(_DEPTHS, np.array(energies), np.array(errors))
    yield Check(
        _GROUP,
        "transitions found in the interaction energy, electrons without interaction",
        "1",
        0.0,
        float(found.found),
        source="filled bands change smoothly",
    )
