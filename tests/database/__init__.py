"""Tests on a real PostgreSQL: the functions, their grants, the schema, the embedded server."""
