"""What differs between operating systems: locks, processes, clock."""
