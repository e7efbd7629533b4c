"""Tests of smtpd."""
