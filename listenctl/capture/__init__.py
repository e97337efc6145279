"""Reading of stored traffic: packet captures, dumps, HAR files and recordings, also damaged ones."""
