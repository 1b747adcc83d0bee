"""One module a group of verbs; imported only when one of them runs."""
