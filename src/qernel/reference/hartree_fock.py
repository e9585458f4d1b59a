"""Unrestricted Hartree-Fock: the lowest single Slater determinant, in plane waves of the supercell.

The orbitals psi_i of (n_up, n_down) electrons are free but for the supercell's Bloch condition, so they may
break the moiré translations, as a generalized Wigner crystal does:

    psi_i(r) = A^{-1/2} sum_G C_iG e^{i (G + k).r},    |G + k|^2 / 2 < E_cut,    k the twist.

With v_G = 2 pi u / (A G), v_0 = 0, and rho_ij,G the Fourier components of psi_i* psi_j, the energy is

    E = sum_iG |G + k|^2 / 2 |C_iG|^2 + sum_i <psi_i|V|psi_i>
      + 1/2 sum_G v_G (|sum_i rho_ii,G|^2 - sum_{ij of equal spin} |rho_ij,G|^2) + N u xi / 2,

of which Fourier transforms on a grid that holds every product of two orbitals give the exact value and
gradient. It is minimized directly (`orbital_descent`) from several starts: filled bands, electrons on two
of the three sqrt3 x sqrt3 sublattices of moiré sites, and random orbitals; what comes lowest is
perturbed at random and minimized again, to leave saddle points. No search proves a global minimum, but every
result bounds the exact energy from above.

Orbitals are smooth, so the energy converges exponentially in E_cut; the uncertainty is the change between
two cutoffs.
"""

import dataclasses
import itertools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Complex, Float, Int

from qernel.hamiltonian import Coulomb, Hamiltonian
from qernel.hamiltonian.bands import bloch_orbitals
from qernel.lattice import MOIRE_HARMONICS, MOIRE_RECIPROCAL, MOIRE_VECTORS, Supercell, integer_grid
from qernel.reference.orbital_descent import Minimum, Orbitals, minimize, orthonormalize, spin_blocks

_COARSER = 0.6  # energy cutoff of the search, relative to that of the result
_SEARCH_TOLERANCE = 1e-3  # residual in E_M at which starts are compared: energies to 1e-6 E_M or so
_TOLERANCE = 1e-5  # residual of the result
_PERTURBATION = 0.1  # norm of what is added to each orbital of the lowest state
_RANDOM_STARTS = 8
_MANY = 24  # electrons above which one random start has to do
_PAIRS = 6  # pairs of orbitals transformed together: what fits the processor's cache


@dataclasses.dataclass(frozen=True)
class HartreeFock:
    """The lowest determinant found, with energies in E_M per supercell.

    `kinetic`, `moire` and `coulomb` (Madelung term included) add up to `energy`. `uncertainty` is the
    largest change of these four numbers between the coarser and the final cutoff: far more than the
    truncation error, and no statement about other minima. `residual` is the norm of the gradient.
    `start` names the start that led here, and `starts` the energies that each reached at the coarser cutoff.
    """

    energy: float
    kinetic: float
    moire: float
    coulomb: float
    uncertainty: float
    residual: float
    start: str
    starts: dict[str, float]
    spins: tuple[int, int]
    waves: Int[np.ndarray, "wave 2"]  # G as integer labels in supercell reciprocal vectors
    coefficients: Orbitals  # C, orthonormal rows for each spin, spin-up first
    levels: Float[np.ndarray, " electron"]  # eigenvalues of the Fock operator, ascending for each spin

    @property
    def converged(self) -> bool:
        """Whether the residual fell below the tolerance of 1e-5 E_M."""
        return self.residual < _TOLERANCE


def lowest_determinant(
    supercell: Supercell,
    spins: tuple[int, int],
    moire: float,
    phase: float,
    coulomb: float,
    twist=(0.0, 0.0),
    cutoff: float | None = None,
) -> HartreeFock:
    """Unrestricted Hartree-Fock ground state of (n_up, n_down) electrons.

    `moire` is w and `coulomb` u in E_M, `phase` is in radians, `twist` in supercell reciprocal vectors;
    `cutoff` is E_cut in E_M, by default enough for 1e-6 E_M per electron. Takes seconds for 6 electrons in
    9 cells and minutes for 54 in 81. Raises ValueError if there are no electrons, or if the cutoff
    leaves fewer plane waves than electrons of a spin.
    """
    if min(spins) < 0 or sum(spins) == 0:
        raise ValueError(f"spins {spins}: needs two counts (up, down), not negative and not both zero")
    system = _System(supercell, spins, moire, phase, coulomb, np.asarray(twist, dtype=float))
    cutoff = _energy_cutoff(system) if cutoff is None else cutoff
    coarse, fine = _Basis.make(system, _COARSER * cutoff), _Basis.make(system, cutoff)
    if len(coarse.waves) < max(spins):
        raise ValueError(f"{max(spins)} electrons of one spin need more plane waves: raise cutoff = {cutoff}")

    found = {
        name: _descend(coarse, orbitals, _SEARCH_TOLERANCE) for name, orbitals in _starts(coarse).items()
    }
    start = min(found, key=lambda name: found[name].energy)
    perturbed = _descend(coarse, _perturb(found[start].orbitals, coarse), _SEARCH_TOLERANCE)
    if perturbed.energy < found[start].energy - 1e-5 * sum(spins):
        start = f"perturbed {start}"
        found[start] = perturbed
    rough = _descend(coarse, found[start].orbitals, _TOLERANCE)
    final = _descend(fine, _transfer(rough.orbitals, coarse.waves, fine.waves), _TOLERANCE)

    before, after = _energies(rough.orbitals, coarse), _energies(final.orbitals, fine)
    levels, canonical = _canonical(final.orbitals, fine)
    return HartreeFock(
        energy=float(after.sum()),
        kinetic=float(after[0]),
        moire=float(after[1]),
        coulomb=float(after[2]),
        uncertainty=float(max(np.abs(after - before).max(), abs(after.sum() - before.sum()))),
        residual=final.residual,
        start=start,
        starts={name: minimum.energy for name, minimum in found.items()},
        spins=spins,
        waves=fine.waves,
        coefficients=canonical,
        levels=levels,
    )


def has_hartree_fock(hamiltonian: Hamiltonian) -> bool:
    """Whether `hartree_fock_energy` treats the terms of this Hamiltonian."""
    return hamiltonian.is_moire_coulomb


def hartree_fock_energy(hamiltonian: Hamiltonian, context: Float[Array, " parameter"]) -> dict[str, float]:
    """Hartree-Fock energy, its components and their uncertainty in meV per electron.

    The keys are energy, kinetic, moire, coulomb and uncertainty. `context` holds the laboratory
    parameters that vary over the Hamiltonian's family.

    Raises ValueError if the Hamiltonian has terms other than those treated here, RuntimeError if the
    orbitals did not converge.
    """
    if not has_hartree_fock(hamiltonian):
        raise ValueError(
            f"Hartree-Fock knows the terms kinetic, moire, coulomb; "
            f"the Hamiltonian has {', '.join(hamiltonian.components)}"
        )
    couplings = hamiltonian.family.couplings(context)
    state = lowest_determinant(
        hamiltonian.supercell,
        hamiltonian.spins,
        float(couplings.moire),
        float(couplings.phase),
        float(couplings.coulomb),
        np.asarray(couplings.twist, dtype=float),
    )
    if not state.converged:
        raise RuntimeError(f"Hartree-Fock did not converge: the gradient is still {state.residual:.1e} E_M")
    per_electron = float(couplings.energy_unit) / hamiltonian.electrons
    names = ("energy", "kinetic", "moire", "coulomb", "uncertainty")
    return {name: getattr(state, name) * per_electron for name in names}


class _System(NamedTuple):
    supercell: Supercell
    spins: tuple[int, int]
    moire: float  # w
    phase: float
    coulomb: float  # u
    twist: np.ndarray

    @property
    def trap(self) -> float:
        """Frequency of an electron about a lattice site of a crystal, in E_M.

        From the moiré potential w (3/2) g^2 r^2 at phase zero, where it is steepest, and the Coulomb
        potential (u / 4) r^2 sum_R R^-3 of a triangular crystal of equal density, with sum 11.03 / a^3.
        """
        spacing = math.sqrt(2 / math.sqrt(3) * self.supercell.area / sum(self.spins))
        crystal = 11.03 / 2 * self.coulomb / spacing**3
        return math.sqrt(3 * abs(self.moire) * float(MOIRE_HARMONICS[0] @ MOIRE_HARMONICS[0]) + crystal)


class _Basis(NamedTuple):
    """Plane waves below a cutoff, and the grid on which products of two of them are exact."""

    system: _System
    waves: Int[np.ndarray, "wave 2"]
    kinetic: Float[np.ndarray, " wave"]
    points: tuple[np.ndarray, np.ndarray]  # where each wave sits in the discrete Fourier transform
    moire: Float[np.ndarray, "point_1 point_2"]  # V on the grid
    repulsion: Float[np.ndarray, "point_1 point_2"]  # v_G on the grid's reciprocal vectors

    @classmethod
    def make(cls, system: _System, cutoff: float) -> "_Basis":
        supercell, twist = system.supercell, system.twist
        longest = np.linalg.norm(supercell.vectors, axis=1).max()
        center = -np.rint(twist).astype(int)
        reach = math.ceil((math.sqrt(2 * cutoff) * longest / (2 * math.pi)) + 1)
        waves = integer_grid(reach) + center
        kinetic = 0.5 * np.sum(((waves + twist) @ supercell.reciprocal) ** 2, axis=1)
        waves, kinetic = waves[kinetic < cutoff], kinetic[kinetic < cutoff]
        harmonics = supercell.labels(MOIRE_HARMONICS)
        # rho_ij reaches 2 m, and times an orbital 3 m: on 4 m + 1 points it folds back beyond m only
        span = np.ptp(waves, axis=0) if len(waves) else np.zeros(2, int)
        sizes = tuple(
            _fast_length(int(max(2 * span[i], span[i] + np.abs(harmonics[:, i]).max())) + 1) for i in range(2)
        )
        fractions = np.meshgrid(*(np.arange(size) / size for size in sizes), indexing="ij")
        angles = 2 * math.pi * np.tensordot(harmonics, np.stack(fractions), axes=1)
        labels = np.meshgrid(*(np.rint(np.fft.fftfreq(size) * size) for size in sizes), indexing="ij")
        lengths = np.linalg.norm(np.stack(labels, axis=-1) @ supercell.reciprocal, axis=-1)
        scale = 2 * math.pi * system.coulomb / supercell.area
        return cls(
            system=system,
            waves=waves,
            kinetic=kinetic,
            points=(waves[:, 0] % sizes[0], waves[:, 1] % sizes[1]),
            moire=-2 * system.moire * np.cos(angles + system.phase).sum(axis=0),
            repulsion=np.divide(scale, lengths, out=np.zeros_like(lengths), where=lengths > 0),
        )


def _fast_length(least: int) -> int:
    """The next length without prime factors above 5, which Fourier transforms like."""
    return next(length for length in itertools.count(least) if 30**12 % length == 0)


def _energy_cutoff(system: _System) -> float:
    """Momenta of a localized electron fall as e^{-E / trap}, those of a free one end at the Fermi energy."""
    fermi = 2 * math.pi * max(system.spins) / system.supercell.area
    harmonic = float(MOIRE_HARMONICS[0] @ MOIRE_HARMONICS[0])
    return 2 * fermi + 0.5 * harmonic + 11 * system.trap


def _functional(orbitals: Orbitals, basis: _Basis) -> tuple[float, Orbitals]:
    """The energy E and the gradient F C, F being the Fock operator."""
    terms, gradient = _terms_and_gradient(orbitals, basis)
    return float(terms.sum()), gradient


def _energies(orbitals: Orbitals, basis: _Basis) -> Float[np.ndarray, "3"]:
    """Kinetic, moiré and Coulomb energy."""
    return _terms_and_gradient(orbitals, basis)[0]


def _terms_and_gradient(orbitals: Orbitals, basis: _Basis) -> tuple[Float[np.ndarray, "3"], Orbitals]:
    system = basis.system
    fields = _to_grid(orbitals, basis)
    density = np.sum(np.abs(fields) ** 2, axis=0)
    hartree = np.real(_convolve(density, basis))
    exchange = _exchange(fields, basis)
    moving = orbitals * basis.kinetic
    kinetic = np.vdot(orbitals, moving).real
    moire = np.mean(density * basis.moire)
    direct = 0.5 * np.mean(density * hartree)
    exchanged = 0.5 * np.vdot(fields, exchange).real / density.size
    madelung = 0.5 * len(orbitals) * system.coulomb * Coulomb(system.supercell).madelung
    gradient = moving + _from_grid((basis.moire + hartree) * fields - exchange, basis)
    return np.array([kinetic, moire, direct - exchanged + madelung]), gradient


def _exchange(
    fields: Complex[np.ndarray, "electron point_1 point_2"], basis: _Basis
) -> Complex[np.ndarray, "electron point_1 point_2"]:
    """sum_j psi_j(r) int v(r - r') psi_j*(r') psi_i(r') over orbitals j of equal spin."""
    result = np.zeros_like(fields)
    for block in spin_blocks(basis.system.spins):
        for i in range(block.start, block.stop):
            for first in range(i, block.stop, _PAIRS):
                others = slice(first, min(first + _PAIRS, block.stop))
                potentials = _convolve(fields[others].conj() * fields[i], basis)
                result[i] += np.einsum("jxy,jxy->xy", potentials, fields[others])
                # the potential of psi_i* psi_j is the conjugate of that of psi_j* psi_i
                later = slice(max(first, i + 1), others.stop)
                result[later] += potentials[later.start - first :].conj() * fields[i]
    return result


def _convolve(density: np.ndarray, basis: _Basis) -> np.ndarray:
    """The potential sum_G v_G rho_G e^{i G.r} on the grid, of one density or several."""
    return np.fft.ifft2(basis.repulsion * np.fft.fft2(density))


def _to_grid(orbitals: Orbitals, basis: _Basis) -> Complex[np.ndarray, "electron point_1 point_2"]:
    """The periodic parts of A^{1/2} psi_i on the grid."""
    amplitudes = np.zeros((len(orbitals), *basis.moire.shape), complex)
    amplitudes[:, *basis.points] = orbitals
    return np.fft.ifft2(amplitudes, norm="forward")


def _from_grid(fields: Complex[np.ndarray, "electron point_1 point_2"], basis: _Basis) -> Orbitals:
    return np.fft.fft2(fields, norm="forward")[:, *basis.points]


def _descend(basis: _Basis, start: Orbitals, tolerance: float) -> Minimum:
    # Hessian: an excitation by kinetic energy T costs about T plus the depth of the well it leaves
    preconditioner = 1 / (basis.kinetic + basis.system.trap)
    return minimize(
        lambda orbitals: _functional(orbitals, basis), start, basis.system.spins, preconditioner, tolerance
    )


def _canonical(orbitals: Orbitals, basis: _Basis) -> tuple[Float[np.ndarray, " electron"], Orbitals]:
    """Eigenvalues and eigenvectors of the Fock operator among the occupied orbitals of each spin."""
    _, gradient = _functional(orbitals, basis)
    levels, canonical = np.empty(len(orbitals)), np.empty_like(orbitals)
    for block in spin_blocks(basis.system.spins):
        levels[block], vectors = np.linalg.eigh(orbitals[block].conj() @ gradient[block].T)
        canonical[block] = vectors.T @ orbitals[block]
    return levels, canonical


def _starts(basis: _Basis) -> dict[str, Orbitals]:
    """Where the search begins."""
    system = basis.system
    starts = {"bands": _bands(basis)}
    if max(system.spins) <= system.supercell.cells:
        starts["crystal"] = _crystal(basis)
        if min(system.spins) > 0:
            starts["crystal, random spins"] = _crystal(basis, random_spins=True)
    # Random starts of many electrons end in crystals with defects, slowly
    seeds = range(_RANDOM_STARTS if sum(system.spins) <= _MANY else 1)
    return starts | {f"random {seed}": _random(basis, seed) for seed in seeds}


def _bands(basis: _Basis) -> Orbitals:
    """The ground state without interaction."""
    supercell, spins, moire, phase, _, twist = basis.system
    bands = bloch_orbitals(supercell, moire, phase, twist, shell=6.01)
    position = {tuple(label): i for i, label in enumerate(basis.waves.tolist())}
    steps = supercell.labels(bands.waves @ MOIRE_RECIPROCAL)
    orbitals = np.zeros((max(spins), len(basis.waves)), complex)
    for orbital, label, row in zip(orbitals, bands.momenta, bands.coefficients, strict=False):
        for wave, coefficient in zip((label + steps).tolist(), row, strict=True):
            if tuple(wave) in position:
                orbital[position[tuple(wave)]] = coefficient
    return np.concatenate([orbitals[:count] for count in spins])


def _crystal(basis: _Basis, shift: int = 0, random_spins: bool = False) -> Orbitals:
    """One Gaussian per moiré site: sublattices A and B of three first, spin up before spin down.

    So the honeycomb crystal of filling 2/3, antiferromagnetic where both spins are equal in number, unless
    the spins are shuffled over its sites. The other two choices of two sublattices, `shift` = 1 and 2, are
    translations of the first by a moiré vector.
    """
    supercell, (up, down) = basis.system.supercell, basis.system.spins
    sites = supercell.sites()
    sites = sites[np.argsort((sites.sum(axis=1) + shift) % 3, kind="stable")]
    filled = np.arange(up + down)
    if random_spins and up + down <= len(sites):
        filled = np.random.default_rng(0).permutation(filled)
    positions = sites[filled % len(sites)] @ MOIRE_VECTORS
    momenta = (basis.waves + basis.system.twist) @ supercell.reciprocal
    envelope = np.exp(-basis.kinetic / basis.system.trap)
    return orthonormalize(envelope * np.exp(-1j * positions @ momenta.T), (up, down))


def _random(basis: _Basis, seed: int) -> Orbitals:
    """Orbitals of random amplitudes that fall as those of a localized electron."""
    random = np.random.default_rng(seed)
    shape = (sum(basis.system.spins), len(basis.waves))
    amplitudes = random.normal(size=shape) + 1j * random.normal(size=shape)
    return orthonormalize(amplitudes * np.exp(-basis.kinetic / basis.system.trap), basis.system.spins)


def _perturb(orbitals: Orbitals, basis: _Basis) -> Orbitals:
    noise = _random(basis, _RANDOM_STARTS)
    return orthonormalize(orbitals + _PERTURBATION * noise, basis.system.spins)


def _transfer(
    orbitals: Orbitals, source: Int[np.ndarray, "wave 2"], target: Int[np.ndarray, "target 2"]
) -> Complex[np.ndarray, "electron target"]:
    """The same orbitals in a larger basis."""
    position = {tuple(label): i for i, label in enumerate(target.tolist())}
    columns = [position[tuple(label)] for label in source.tolist()]
    result = np.zeros((len(orbitals), len(target)), complex)
    result[:, columns] = orbitals
    return result
