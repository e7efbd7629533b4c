"""Tests of the admin station."""
