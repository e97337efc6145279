"""Sound outside the wire: recording files, sources to play, devices, levels, DTMF tones, pacing."""
