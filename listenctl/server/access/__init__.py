"""Who may connect: addresses, credentials and their failures, certificates."""
