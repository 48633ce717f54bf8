"""``python -m sb3_ext.zoo``: the command line where no ``zoo.py`` is at hand."""

import sys

from sb3_ext.zoo.cli import main

if __name__ == "__main__":
    sys.exit(main())
