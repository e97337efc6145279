"""One simulated call from jambonz to a listen server."""
