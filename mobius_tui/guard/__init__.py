"""The guard: samples, rules, verdicts and the watch process; files and the standard library only."""
