"""The conformance kit: it plays BrightSync's whole session against any server and says which rules hold.

    python -m conformance --base-url http://127.0.0.1:8000 --token "$TOKEN"

It knows nothing of the server but its address and a token, in whatever language the server is written, and
needs nothing but Python 3.11: copy the folder and run it.
"""

from conformance.rule import RULES, Result, Rule
from conformance.run import Report, run

__all__ = ["RULES", "Report", "Result", "Rule", "run"]
