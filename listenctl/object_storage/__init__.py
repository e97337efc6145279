"""Finished recordings go from a local spool to object storage; obstore speaks with the stores."""
