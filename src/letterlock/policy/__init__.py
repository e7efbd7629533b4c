"""What the organisation wants: settings and their levels, triggers, our domains."""
