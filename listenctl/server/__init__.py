"""The application side: jambonz connects to us, and we receive, keep and report its calls."""
