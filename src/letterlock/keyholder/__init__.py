"""The only process that has the root key, epoch keys and users' private keys.

Guarantees
    A message key leaves it only for a live lease of the asking role, or for a grant that the database marks used in the
    same breath; a private key never leaves it. What it destroyed, nothing brings back.

See also
    ``serve.py`` (start here), ``ring.py`` (the keys on disk), ``desk.py`` (what may be asked by whom).
"""
