"""``zoo.py tune``: searches hyperparameters with Optuna.

``tune``        the command, from its flags to its exit code
``plan``        what makes a trial's score, stored with the study
``spaces``      what is drawn: a space of our own for our PPOs, RL Zoo's for the others
``samplers``    how it is drawn, and which trials are given up early
``objective``   one trial: trains on every seed, evaluates, reports
``storage``     where a study lives; ``opening`` finds or makes the one that is meant
``worker``      one process's trials, beside others; ``processes`` starts several
``report``      table, best.yml, trials.csv; ``pictures`` what Optuna draws
``apply``       writes the best entry into hyperparams/
``retrain``     a trial's hyperparameters, for ``zoo.py train``
"""
