"""Standard library only: atomic files, hashes, backups, history."""
