"""What must not be shown: secrets in URLs, DTMF digits, phone numbers."""
