"""Stand-ins for outside things, and makers of test material."""
