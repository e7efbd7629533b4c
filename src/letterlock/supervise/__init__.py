"""Starting, watching and stopping the processes of an installation.

Order
    PostgreSQL, then prepare (migrations and passwords), beside them the spawner, then the keyholder, then all stations.
    They stop the other way round: the stations drain, PostgreSQL goes last.

See also
    ``processes.py`` for the table of processes; ``docs/walks/run.md`` for the whole way.
"""
