"""Tests of the flow station."""
