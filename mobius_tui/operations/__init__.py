"""Plain functions of (workspace, options, progress)."""
