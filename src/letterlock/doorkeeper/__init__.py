"""Decides who somebody is, and is the only one that may say so to the database.

See also
    ``serve.py`` (the socket), ``local.py`` (users of this machine).
"""
