"""The supervisor, without a database."""
