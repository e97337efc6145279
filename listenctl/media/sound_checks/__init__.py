"""Checks of the sound of one side: encoding, level, sample rate."""
