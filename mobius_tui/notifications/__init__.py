"""Telling people: routes by audience, commands and webhooks, repeats until somebody acknowledges."""
