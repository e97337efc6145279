"""Explain stored traffic: what each call was, how complete it is, what went wrong in it and whose doing that was."""
