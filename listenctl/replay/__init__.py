"""A captured call, sent again."""
