"""Who people are to us: their sessions and permissions."""
