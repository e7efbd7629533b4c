"""The tests: house, unit, database, vectors, attacks, properties, stories, interop; fakes are shared."""
