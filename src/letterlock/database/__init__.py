"""The database: the gate through which functions are called, the schema, and the PostgreSQL that comes along."""
