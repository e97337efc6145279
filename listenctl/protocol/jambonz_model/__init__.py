"""How a real jambonz behaves: its first text, send buffer, playout, marks, clips and verdicts."""
