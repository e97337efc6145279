"""One simulated jambonz call."""
