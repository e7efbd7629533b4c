"""Hostile octets, found by looking at what they reach: coverage-guided fuzzing of everything that reads strangers' data.

Order
    ``make fuzz`` is ``python -m tests.fuzz.run``: it makes a scene, starts one child a target, and tells what was found.
    ``test_fuzz.py`` runs the same for a minute.

See also
    ``oracle.py`` for what counts as a fault; ``table.py`` for the targets; ``docs/decisions/0022-atheris.md``.
"""
