"""Play sound to a live call: in which way jambonz takes it, at which pace, and what became of it."""
