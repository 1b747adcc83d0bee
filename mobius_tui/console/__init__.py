"""The console: what runs, seen and steered from a terminal."""
