"""Sources of audio: files, pipes, tones, speech."""
