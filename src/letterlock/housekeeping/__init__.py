"""The housekeeping station: what has to be done from time to time, once, by nobody's request.

See also
    ``clock.py`` (the jobs and their times), ``sweep.py`` (segment files without a row).
"""
