"""Inspection of captured calls: their completeness, violations of rules and who caused them."""
