"""Fig. 3: densities and structure factors in the liquid and in the crystal, at depths 0.7 and 1.5.

Full: 150 electrons in 225 cells, reached from the shipped model of six by way of 18, 54 and 96, one ladder
for each of the two momenta. A GPU with 16 GiB or more, and weeks; the same command resumes.

Miniature: the shipped models of 6 electrons in 9 cells, a minute on two cores. The finite system's state
has the lattice's translations: a crystal shows in the structure factor, at K, and not in the density.
"""

from commands import climb, options, qernel

LADDER = ["18/27", "54/81", "96/144", "150/225"]
#: Model to start from, depth, and its momentum in larger cells: Gamma is one of the crystal's three.
STATES = (
    ("six-over-depth", "0.7", "model.sector=lowest"),
    ("six-K", "1.5", "model.sector=[0,0]"),
)
FEW_SAMPLES = ["--walkers", "64", "--samples", "20", "--equilibration", "20"]


def main() -> None:
    arguments = options(__doc__, "figure-3")
    for model, depth, sector in STATES:
        run = climb(model, LADDER, sector, arguments)
        qernel("sweep", run, "--over", f"moire_depth={depth}", *(FEW_SAMPLES * arguments.miniature))
        qernel("report", run)


if __name__ == "__main__":
    main()
