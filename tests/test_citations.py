"""What a run rests on is cited, and nothing else."""

import re

import pytest

from qernel.citations import PAPERS, citations
from qernel.cli import main
from qernel.config import load_config


def keys(*overrides, preset="six-over-depth"):
    return set(re.findall(r"^@\w+\{(\w+),$", citations(load_config(preset, overrides)), re.M))


ALWAYS = {"Nazaryan2026", "Li2024", "Roberts1996", "Kidger2021", "jax2018"}


@pytest.mark.parametrize(
    ("found", "cited"),
    [
        (
            lambda: keys(),
            {"vonGlehn2023", "Ainslie2023", "Su2021", "Perez2018", "Goldshlager2024", "Chen2024"},
        ),
        (
            lambda: keys("optimizer.name=adam", "groups=8", "sector=free", "conditioned=false"),
            {"vonGlehn2023", "Kingma2015"},
        ),
        (lambda: keys("optimizer.name=minsr", preset="six-slaternet"), {"Geier2025", "Chen2024"}),
        (
            lambda: keys("optimizer.name=kfac", preset="six-psiformer"),
            {"Geier2025", "vonGlehn2023", "Martens2015"},
        ),
    ],
)
def test_papers_follow_the_configuration(found, cited):
    assert found() == ALWAYS | cited


def test_entries_are_whole():
    assert len({paper.key for paper in PAPERS}) == len(PAPERS)
    for paper in PAPERS:
        entry = paper.bibtex()
        assert entry.count("{") == entry.count("}")
        assert re.search(r"eprint = \{\d{4}\.\d{4,5}\}|journal = \{.+\}, volume|howpublished = ", entry)


def test_the_command_prints_them_for_a_run_or_a_shipped_model(capsys):
    main(["cite", "six-over-depth"])
    printed = capsys.readouterr().out
    assert "@misc{Nazaryan2026,\n  author = {Nazaryan, Khachatur and Fu, Liang}," in printed
    with pytest.raises(SystemExit):
        main(["cite", "nowhere"])
