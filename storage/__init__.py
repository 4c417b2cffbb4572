"""The records on SQLite: what stands behind `models` until somebody puts his own tables there."""
