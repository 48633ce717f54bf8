"""The zoo: train, play and list agents from one command line, with RL Zoo's flags and files."""
