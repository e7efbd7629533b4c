"""The flow station: every accepted message is opened, examined, decided, protected and advanced."""
