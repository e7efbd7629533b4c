"""Other programs: what they make we read, what we make they read."""
