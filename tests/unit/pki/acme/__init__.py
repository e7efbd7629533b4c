"""Tests of the ACME client."""
