"""The audit trail: its encoding, its chain, its check."""
