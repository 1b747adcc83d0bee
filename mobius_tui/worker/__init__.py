"""The background worker: job loop and folder watch."""
