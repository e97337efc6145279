"""Everything drawn on a terminal, and every standard stream."""
