"""One blueprint a noun. A view is its decorators, a docstring (which is the API's description) and one statement."""
