"""The command line's door: ``python zoo.py --algo ppo --env SimpleAim-v0``."""

import sys

from sb3_ext.zoo.cli import main

if __name__ == "__main__":
    sys.exit(main())
