"""What the gateway itself says to people: notices and the human part of reports."""
