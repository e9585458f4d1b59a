"""A wrong Hamiltonian fails the verification; the right one passes."""

import math

import equinox as eqx

from qernel.hamiltonian import coulomb, couplings, moire
from qernel.verification.hamiltonian import check_hamiltonian


def first_failure():
    return next((check for check in check_hamiltonian(quick=True) if not check.passed), None)


def test_right_hamiltonian_passes():
    assert first_failure() is None


def test_phase_off_by_ten_degrees(monkeypatch):
    right = moire.MoirePotential.__call__

    def wrong(self, electrons, at):
        return right(self, electrons, eqx.tree_at(lambda c: c.phase, at, at.phase + math.radians(10)))

    monkeypatch.setattr(moire.MoirePotential, "__call__", wrong)
    assert "potential" in first_failure().quantity


def test_phase_off_by_ten_degrees_in_the_family(monkeypatch):
    right = couplings.Family.couplings

    def wrong(self, context):
        made = right(self, context)
        return eqx.tree_at(lambda c: c.phase, made, made.phase + math.radians(10))

    monkeypatch.setattr(couplings.Family, "couplings", wrong)
    assert "potential" in first_failure().quantity


def test_wrong_mass(monkeypatch):
    right = couplings.moire_energy
    monkeypatch.setattr(couplings, "moire_energy", lambda mass, constant: right(1.01 * mass, constant))
    assert "E_M" in first_failure().quantity


def test_missing_madelung_term(monkeypatch):
    right = coulomb.Coulomb.__call__

    def wrong(self, electrons, at):
        return right(self, electrons, at) - 0.5 * electrons.shape[0] * self.madelung * at.coulomb

    monkeypatch.setattr(coulomb.Coulomb, "__call__", wrong)
    assert "triangular lattice" in first_failure().quantity


def test_doubled_pair_sum(monkeypatch):
    right = coulomb._near
    monkeypatch.setattr(coulomb, "_near", lambda electrons, cell: 2 * right(electrons, cell))
    assert "triangular lattice" in first_failure().quantity


def test_doubled_kinetic_energy(monkeypatch):
    from qernel.estimators import local_energy

    right = local_energy.kinetic_energy
    monkeypatch.setattr(local_energy, "kinetic_energy", lambda log_psi, r: 2 * right(log_psi, r))
    assert "bands" in first_failure().quantity
