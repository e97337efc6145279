"""What a server takes at most: calls, requests, and how much of the machine."""
