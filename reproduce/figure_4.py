"""Fig. 4: the interaction energy over the depth, its two branches and their mismatch, by inference.

Full: 54 electrons in 81 cells, two conditional models, of the liquid and of the crystal, each from six
electrons by way of 18 in 27 cells. A GPU and days; the same command resumes.

Miniature: the shipped models of 6 electrons in 9 cells at eight depths. Two minutes on two cores.
"""

from commands import climb, options, qernel

LADDER = ["18/27", "54/81", "contexts.moire_depth=[0.5,1.6]"]
#: Models to start from, in full and for the miniature, and momentum in larger cells. The crystal's is one
#: with the mean field of its order: from a model of momentum K, six electrons' own, it is not reached.
MODELS = (
    ("six-over-depth", "six-over-depth", "model.sector=lowest"),
    ("six-crystal", "six-K", "model.sector=order"),
)
FEW_SAMPLES = ["--walkers", "64", "--samples", "20"]


def main() -> None:
    arguments = options(__doc__, "figure-4")
    runs = [
        climb(small if arguments.miniature else start, LADDER, sector, arguments)
        for start, small, sector in MODELS
    ]
    over = "moire_depth=0.9:1.6:8" if arguments.miniature else "moire_depth=0.5:1.6:23"
    effort = FEW_SAMPLES if arguments.miniature else []
    qernel("compare", *runs, "--over", over, *effort, "--out", str(arguments.out / "comparisons"))
    qernel("transition", *runs, "--out", str(arguments.out / "transitions"))


if __name__ == "__main__":
    main()
