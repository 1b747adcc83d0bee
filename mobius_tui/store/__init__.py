"""The SQLite database: schema and queries."""
