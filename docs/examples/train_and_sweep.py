"""One wavefunction for two electrons at every moiré depth, without the command line.

Two spin-polarized electrons share three moiré cells. The model is trained for a few dozen steps at
eight depths between 0.5 and 2.0, then measured at depths it has not been trained at and compared
with exact diagonalization. Energies are in meV per electron.
"""

import jax
import jax.numpy as jnp
import numpy as np

import qernel
from qernel.hamiltonian import make_hamiltonian
from qernel.measurement import Effort
from qernel.sweep import sweep
from qernel.training.loop import initial_state, train

STEPS = 60  # the preset's 600 bring the energies much closer
DEPTHS = [0.6, 0.9, 1.2, 1.5, 1.8]
EFFORT = Effort(walkers=64, equilibration=30, samples=40)

config = qernel.load_config(
    "pair",
    [
        f"training.stages=[{{steps={STEPS}, contexts=8}}]",
        "optimizer.decay_steps=50",
        "model.layers=1",  # the preset has two; one compiles faster
    ],
)

print("compiling, then burning in ...")
for state, metrics in train(config, initial_state(config)):
    if int(state.step) % 10 == 0:
        spread = np.mean(metrics.spread)  # falls to zero as psi becomes an eigenstate
        print(f"step {int(state.step):3d} of {STEPS}   local-energy spread {spread:.2f}")

data = sweep(config, state, {"moire_depth": DEPTHS}, EFFORT)

print("\ndepth   energy               exact               above exact   R-hat")
for depth in DEPTHS:
    at = data.sel(moire_depth=depth)
    energy, error = float(at["energy"]), float(at["energy_error"])
    exact, uncertainty = float(at["exact_energy"]), float(at["exact_uncertainty"])
    print(
        f"{depth:5.2f}   {energy:8.3f} ± {error:5.3f}   {exact:10.5f} ± {uncertainty:7.5f}"
        f"   {energy - exact:6.3f} ± {error:5.3f}   {float(at['energy_r_hat']):.3f}"
    )

# The same weights as a function of configuration and context.
model = qernel.Trained(state, make_hamiltonian(config), config)
electrons = model.walkers[0, 0]
curve = jax.jit(jax.vmap(lambda depth: model(electrons, moire_depth=depth).log_abs))(jnp.array(DEPTHS))
print("\nlog|psi| of one configuration at these depths:", *(f"{value:.3f}" for value in curve))
