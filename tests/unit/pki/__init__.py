"""Tests of pki."""
