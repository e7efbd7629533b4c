"""Content sealed under a key of its own, and the way to those keys.

Guarantees
    Nothing is stored unsealed; nothing opened is given out before it agrees with its seal.

See also
    ``keys.py`` (the key tree), ``content.py`` (seal and open), ``sealing.py`` and ``opening.py`` (ask the keyholder).
"""
