"""Requests in, answers out: strict JSON, scopes, tokens, logs, metrics, and how gunicorn serves."""
