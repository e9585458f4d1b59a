"""A Hamiltonian's terms and their names."""

import pytest

from qernel.hamiltonian import make_hamiltonian
from qernel.hamiltonian.hamiltonian import Hamiltonian
from qernel.hamiltonian.moire import MoirePotential


class Another(MoirePotential):
    name = "another"


@pytest.mark.parametrize("name", ["another", "moire", "kinetic", "energy", "square", "moire_depth"])
def test_a_term_has_a_name_of_its_own(tiny, monkeypatch, name):
    """Sweeps hold a variable of the name of each term beside the energy and the swept parameters."""
    monkeypatch.setattr(Another, "name", name)
    given = make_hamiltonian(tiny())
    arguments = (given.supercell, given.spins, given.family, (*given.terms, Another()))
    if name == "another":
        assert Hamiltonian(*arguments).components == ("kinetic", "moire", "coulomb", "another")
    else:
        with pytest.raises(ValueError, match=f"no term can be called '{name}'"):
            Hamiltonian(*arguments)
