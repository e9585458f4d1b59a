"""Training one wavefunction over a family of Hamiltonians."""
