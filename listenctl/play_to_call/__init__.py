"""Play sound to a live call: how jambonz takes it, the pace of a stream, and whether the caller heard it."""
