"""Batches: the same numbers whatever the microbatch and the number of devices."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.batching import over_walkers, walker_mesh


@pytest.mark.parametrize("microbatch", [1, 3, 8, 100])
def test_every_walker_meets_its_own_context(microbatch):
    electrons = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 3, 2)))
    couplings = {"moire": jnp.array([2.0, 5.0])}

    def one(model, r, coupling):
        return model * jnp.sum(r) * coupling["moire"]

    values = over_walkers(one, walker_mesh(8), microbatch)(jnp.array(3.0), electrons, couplings)
    expected = 3 * electrons.sum(axis=(2, 3)) * couplings["moire"][:, None]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


SCRIPT = """
import sys
import equinox as eqx, jax, numpy as np
from jax.sharding import Mesh
from qernel.config import load_config
from qernel.estimators.gradient import energy_gradient
from qernel.training.loop import _spread, initial_state
from qernel.hamiltonian.hamiltonian import couplings_of
from qernel.sampling import make_sampling
from qernel.training.step import make_optimization
from qernel.hamiltonian import make_hamiltonian
from qernel.optimize import make_optimizer
from qernel.batching import walker_mesh

config = load_config(sys.argv[1], sys.argv[2:])
hamiltonian, devices = make_hamiltonian(config), jax.devices()
assert len(devices) == 2 and walker_mesh(4).size == 2 and walker_mesh(5).size == 1
start, results = initial_state(config), []
for count in (1, 2):
    mesh = Mesh(np.array(devices[:count]), ("walkers",))
    state = _spread(start, mesh)
    sample = make_sampling(hamiltonian, mesh, config.training.moves, np.dtype("float64"), 3, exchanges=True)
    optimize = make_optimization(config, hamiltonian, make_optimizer(config.optimizer), mesh)
    walkers, acceptance = sample(state.model, state.walkers, state.contexts, jax.random.key(1))
    assert len(walkers.electrons.sharding.device_set) == count
    after, metrics, energies = optimize(eqx.tree_at(lambda s: s.walkers, state, walkers), acceptance)
    couplings = couplings_of(hamiltonian, state.contexts, np.dtype("float64"))
    residual = jax.numpy.asarray(np.random.default_rng(0).normal(size=(2, 4, 2)))
    gradient = eqx.filter_jit(energy_gradient)(state.model, walkers.electrons, couplings, residual, mesh, 2)
    arrays = eqx.filter((after, metrics, energies, gradient), eqx.is_array)
    results.append([np.asarray(x) for x in jax.tree.leaves(arrays)])
moved = [np.abs(a - np.asarray(b)).max() for a, b in zip(results[0], jax.tree.leaves(start.model))]
assert max(moved) > 1e-4
for one, two in zip(*results, strict=True):
    np.testing.assert_allclose(two, one, rtol=1e-8, atol=1e-9)
print("equal", len(results[0]))
"""


SMALL = ["ansatz=slaternet", "determinants=1", "electrons=[2,0]", "jastrow=false", "moire_features=false"]


@pytest.mark.parametrize(
    "overrides",
    [SMALL, [*SMALL, "keep_scores=false"], pytest.param([], marks=pytest.mark.slow)],
    ids=["small", "scores computed anew", "full"],
)
def test_results_do_not_depend_on_the_number_of_devices(tiny_file, overrides):
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tiny_file, *overrides],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("equal")


def test_mesh_divides_the_walkers():
    assert walker_mesh(7).size == len(jax.devices()) == 1
