"""Hooks: events of calls sent to webhooks and given to commands, again and again until they are taken."""
