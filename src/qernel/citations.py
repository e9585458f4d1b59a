"""The papers that a run rests on, as BibTeX."""

from collections.abc import Callable
from typing import NamedTuple

from qernel.config import Config


class Paper(NamedTuple):
    """A reference: what it is cited for, and by which configurations."""

    key: str
    reason: str
    authors: str
    title: str
    year: int
    where: str  # further BibTeX fields
    used: Callable[[Config], bool] = lambda config: True

    def bibtex(self) -> str:
        """The entry, under a comment that says what it is cited for."""
        kind = "article" if self.where.startswith("journal") else "misc"
        return (
            f"% {self.reason}\n@{kind}{{{self.key},\n  author = {{{self.authors}}},\n"
            f"  title = {{{{{self.title}}}}},\n  year = {{{self.year}}},\n  {self.where}\n}}"
        )


def _arxiv(number: str) -> str:
    return f"eprint = {{{number}}}, archivePrefix = {{arXiv}}"


def _journal(name: str, volume: str, pages: str, arxiv: str = "") -> str:
    fields = f"journal = {{{name}}}, volume = {{{volume}}}, pages = {{{pages}}}"
    return f"{fields}, {_arxiv(arxiv)}" if arxiv else fields


def _is_qernel(config: Config) -> bool:
    return config.model.ansatz == "qernel"


def _is_optimized_by(name: str) -> Callable[[Config], bool]:
    return lambda config: config.optimizer.name == name


PAPERS = (
    Paper(
        "Nazaryan2026",
        "one wavefunction for a family of Hamiltonians: ansatz and training",
        "Nazaryan, Khachatur and Fu, Liang",
        "QERNEL: a Scalable Large Electron Model",
        2026,
        _arxiv("2604.26018"),
    ),
    Paper(
        "Geier2025",
        "the baselines PsiFormer and SlaterNet for moiré electrons",
        "Geier, Max and Nazaryan, Khachatur and Zaklama, Timothy and Fu, Liang",
        "Is attention all you need to solve the correlated electron problem?",
        2025,
        _journal("Physical Review B", "112", "045119", "2502.05383"),
        lambda config: config.model.ansatz in ("psiformer", "slaternet"),
    ),
    Paper(
        "vonGlehn2023",
        "self-attention between electrons",
        "von Glehn, Ingrid and Spencer, James S. and Pfau, David",
        "A Self-Attention Ansatz for Ab-initio Quantum Chemistry",
        2023,
        _arxiv("2211.13672"),
        lambda config: config.model.ansatz in ("qernel", "psiformer"),
    ),
    Paper(
        "Ainslie2023",
        "grouped-query attention",
        "Ainslie, Joshua and others",
        "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints",
        2023,
        _arxiv("2305.13245"),
        lambda config: _is_qernel(config) and config.model.groups < config.model.heads,
    ),
    Paper(
        "Su2021",
        "rotations in the attention, by which total momentum is exact",
        "Su, Jianlin and others",
        "RoFormer: Enhanced Transformer with Rotary Position Embedding",
        2021,
        _arxiv("2104.09864"),
        lambda config: _is_qernel(config) and config.model.sector != "free",
    ),
    Paper(
        "Perez2018",
        "modulation by the context (FiLM)",
        "Perez, Ethan and others",
        "FiLM: Visual Reasoning with a General Conditioning Layer",
        2018,
        _arxiv("1709.07871"),
        lambda config: bool(config.context_names) and config.model.conditioned,
    ),
    Paper(
        "Goldshlager2024",
        "the optimizer SPRING",
        "Goldshlager, Gil and Abrahamsen, Nilin and Lin, Lin",
        "A Kaczmarz-inspired approach to accelerate the optimization of neural network wavefunctions",
        2024,
        _journal("Journal of Computational Physics", "516", "113351", "2401.10190"),
        _is_optimized_by("spring"),
    ),
    Paper(
        "Chen2024",
        "the natural gradient in the space of walkers (MinSR)",
        "Chen, Ao and Heyl, Markus",
        "Empowering deep neural quantum states through efficient optimization",
        2024,
        _journal("Nature Physics", "20", "1476", "2302.01941"),
        lambda config: config.optimizer.name in ("spring", "minsr"),
    ),
    Paper(
        "Martens2015",
        "the optimizer KFAC",
        "Martens, James and Grosse, Roger",
        "Optimizing Neural Networks with Kronecker-factored Approximate Curvature",
        2015,
        _arxiv("1503.05671"),
        _is_optimized_by("kfac"),
    ),
    Paper(
        "Jordan2024",
        "the optimizer Muon",
        "Jordan, Keller and Jin, Yuchen and Boza, Vlado and You, Jiacheng and Cesista, Franz and Newhouse,"
        " Laker and Bernstein, Jeremy",
        "Muon: An optimizer for hidden layers in neural networks",
        2024,
        "howpublished = {https://kellerjordan.github.io/posts/muon/}",
        _is_optimized_by("muon"),
    ),
    Paper(
        "Kingma2015",
        "the optimizer Adam",
        "Kingma, Diederik P. and Ba, Jimmy",
        "Adam: A Method for Stochastic Optimization",
        2015,
        _arxiv("1412.6980"),
        _is_optimized_by("adam"),
    ),
    Paper(
        "Li2024",
        "the forward Laplacian",
        "Li, Ruichen and others",
        "A computational framework for neural network-based variational Monte Carlo with Forward Laplacian",
        2024,
        _journal("Nature Machine Intelligence", "6", "209", "2307.08214"),
    ),
    Paper(
        "Roberts1996",
        "Langevin moves",
        "Roberts, Gareth O. and Tweedie, Richard L.",
        "Exponential convergence of Langevin distributions and their discrete approximations",
        1996,
        _journal("Bernoulli", "2", "341"),
    ),
    Paper(
        "Kidger2021",
        "the library Equinox",
        "Kidger, Patrick and Garcia, Cristian",
        "Equinox: neural networks in JAX via callable PyTrees and filtered transformations",
        2021,
        _arxiv("2111.00254"),
    ),
    Paper(
        "jax2018",
        "the library JAX",
        "Bradbury, James and others",
        "JAX: composable transformations of Python+NumPy programs",
        2018,
        "howpublished = {https://github.com/jax-ml/jax}",
    ),
)


def citations(config: Config) -> str:
    """BibTeX entries of the papers that a run of this configuration rests on."""
    return "\n\n".join(paper.bibtex() for paper in PAPERS if paper.used(config))
