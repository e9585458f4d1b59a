"""python -m qernel"""

from qernel.cli import main

main()
