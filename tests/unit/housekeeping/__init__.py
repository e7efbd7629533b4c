"""The housekeeping station, without a database."""
