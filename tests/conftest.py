"""Strict numerics for every test: shapes checked at run time, no implicit promotion."""

import contextlib
import io
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Most of the time goes into compiling: leave out LLVM's slow passes, and compile nothing twice.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
_CACHE = tempfile.TemporaryDirectory()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", _CACHE.name)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

from jaxtyping import install_import_hook

with install_import_hook("qernel", "beartype.beartype"):
    import qernel  # noqa: F401

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qernel.cli import main
from qernel.config import load_config
from qernel.hamiltonian import make_hamiltonian
from qernel.wavefunction import make_wavefunction

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "allow")


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_functions():
    """Keep the memory of one file's functions only; the cache on disk serves the others."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def tiny_file():
    """The configuration that the tests train, as a file."""
    return str(Path(__file__).parent / "tiny.toml")


@pytest.fixture(scope="session")
def tiny(tiny_file):
    """Configurations: the tiny one with overrides."""
    return lambda *overrides: load_config(tiny_file, overrides)


@pytest.fixture(scope="session")
def generic():
    """Ansatz and Hamiltonian of a configuration, with no weight left at a special value such as zero."""

    def make(config, scale=0.2):
        hamiltonian = make_hamiltonian(config)
        model, random = make_wavefunction(config, hamiltonian, jax.random.key(1)), np.random.default_rng(1)
        weights, static = eqx.partition(model, eqx.is_inexact_array)
        weights = jax.tree.map(lambda x: x + scale * random.normal(size=x.shape).astype(x.dtype), weights)
        return eqx.combine(weights, static), hamiltonian

    return make


@pytest.fixture(scope="session")
def scattered():
    """Electrons anywhere in the supercell, (count, electron, 2)."""

    def make(hamiltonian, count, seed=0):
        fractions = np.random.default_rng(seed).uniform(size=(count, hamiltonian.electrons, 2))
        return jnp.asarray(fractions @ hamiltonian.supercell.vectors)

    return make


_REAL = ("orbitals=free", "real=true", "twist_1=0.0", "twist_2=0.0")
_POLARIZED = ("electrons=[3,0]", "orbitals=free", "jastrow=false", "conditioned=false")
_SLATER = ("ansatz=slaternet", "determinants=1")
ANSATZE = {
    "qernel": (),
    "qernel-polarized-free": _POLARIZED,
    "qernel-real": _REAL,
    "qernel-sector": ("sector=lowest",),
    "psiformer": ("ansatz=psiformer",),
    "psiformer-polarized-free": ("ansatz=psiformer", "moire_features=false", *_POLARIZED),
    "psiformer-real": ("ansatz=psiformer", *_REAL),
    "slaternet": _SLATER,
    "slaternet-real": (*_SLATER, *_REAL),
}


@pytest.fixture(scope="module", params=ANSATZE)
def ansatz(request, tiny, generic, scattered):
    """Every ansatz in turn, with generic weights and a few configurations."""
    config = tiny(*ANSATZE[request.param])
    model, hamiltonian = generic(config)
    couplings = hamiltonian.family.couplings(jnp.array([1.2]))
    return SimpleNamespace(
        config=config,
        model=model,
        hamiltonian=hamiltonian,
        couplings=couplings,
        electrons=scattered(hamiltonian, 8),
    )


@pytest.fixture(scope="session")
def trained_run(tiny_file, tmp_path_factory):
    """The tiny run, trained through the command line: stopped after a step, then resumed. Read only."""
    path = tmp_path_factory.mktemp("trained") / "run"
    outputs = []
    for limit in (["--minutes", "0"], []):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            main(["train", tiny_file, "--out", str(path), *limit])
        outputs.append(output.getvalue())
    return SimpleNamespace(path=path, outputs=outputs)
