"""DTMF digits that commands send, and how long they last; without imports, as the options of commands need it."""

DTMF_KEYS = "0123456789*#ABCD"
MASKED_DIGIT = "x"
"""In the place of each digit that must not be stored; no key has this name."""
DIGIT_MS = 200
"""How long a simulated caller presses a key."""
TONE_MS = 100
"""How long a tone is played to the caller of a live call."""
GAP_MS = 100
"""Between two digits."""
MIN_DIGIT_MS, MAX_DIGIT_MS = 50, 24_000
"""The longest duration is that of FreeSWITCH (listenctl-protocol(7) 4)."""
MAX_GAP_MS = 60_000
PAUSE, PAUSE_SECONDS = "w", 0.5
"""A pause among digits."""
