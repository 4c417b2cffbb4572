"""The rules, one module per part of BrightSync's session, in the order in which it plays."""

# ruff: noqa: I001 (the order of the modules is the order of the session)
from conformance.rules import (  # noqa: F401
    access,
    yours,
    lookups,
    companies,
    finding,
    emails,
    participants,
    copies,
    updates,
    contacts,
    hostile,
    pages,
    own_use,
    safety,
    preconditions,
    upkeep,
)
