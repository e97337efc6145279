"""Pictures of captured calls."""
