"""Click verbs, one file a group, lazily loaded."""
