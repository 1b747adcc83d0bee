"""The deploy: a journalled table of steps from a verified backup to a published catalogue."""
