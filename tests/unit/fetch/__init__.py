"""Tests of the fetch station, without a database."""
