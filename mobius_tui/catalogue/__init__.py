"""library.json and the folder behind it."""
