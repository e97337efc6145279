"""Audio apart from the wire: files, sources, devices, levels, DTMF detection, pacing."""
