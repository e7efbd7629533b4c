"""What is needed to start: the file, the environment, and what the supervisor hands on.

See also
    ``settings.py`` (each setting), ``load.py`` (reads them), ``start.py`` (what a station is given).
"""
