"""The verbs: thin, one file a group, each imported only when it runs."""
