"""Fig. 3: densities and structure factors in the liquid and in the crystal, at depths 0.7 and 1.5.

Full: 150 electrons in 225 cells, reached from the shipped model of six by way of 18, 54 and 96, one ladder
for each of the two states. A GPU with 16 GiB or more, and weeks; the same command resumes.

Miniature: the shipped models of 6 electrons in 9 cells, a minute on two cores. The finite system's state
has the lattice's translations: a crystal shows in the structure factor, at K, and not in the density.
"""

from commands import climb, options, qernel

LADDER = ["18/27", "54/81", "96/144", "150/225"]
#: Models to start from, in full and for the miniature, depth, and momentum in larger cells. The crystal's is
#: one with the mean field of its order: from a model of momentum K, six electrons' own, it is not reached.
STATES = (
    ("six-over-depth", "six-over-depth", "0.7", "model.sector=lowest"),
    ("six-crystal", "six-K", "1.5", "model.sector=order"),
)
FEW_SAMPLES = ["--walkers", "64", "--samples", "20", "--equilibration", "20"]


def main() -> None:
    arguments = options(__doc__, "figure-3")
    for start, small, depth, sector in STATES:
        run = climb(small if arguments.miniature else start, LADDER, sector, arguments)
        qernel("sweep", run, "--over", f"moire_depth={depth}", *(FEW_SAMPLES * arguments.miniature))
        qernel("report", run)


if __name__ == "__main__":
    main()
