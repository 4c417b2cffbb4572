"""The overview, and the settings: users and tokens, who is signed in, what was refused and done."""

from typing import Any

from flask import abort, current_app, g, redirect, render_template, request, url_for

import crm
from pages.site import if_offered, pages, session_id, show, user_of, zone
from schemas import NeverLogRuleIn
from settings import VERSION
from web import activity, checkup, sessions, tokens, unmatched


@pages.get("/")
@show("overview.html")
def overview() -> dict[str, Any]:
    """Is it working?"""
    return {
        "emails": newest.records if (newest := if_offered(crm.find_emails, {}, limit=5, whole=False)) else None,
        "contacts": bool(some.records if (some := if_offered(crm.list_contacts, limit=1)) else None),
        "refusals": tokens.newest_refusals(5),
        "activity": activity.list_activity(),
        "unmatched": if_offered(unmatched.list_unmatched, 10),
        "version": VERSION,
        "last_backup": checkup.last_backup(),
        "findings": sorted(checkup.look(current_app.config), key=lambda one: -checkup.LEVELS.index(one.level)),
    }


@pages.get("/unmatched/<path:rest>")
@pages.get("/sign-out")
def back_to_overview(rest: str = "") -> Any:
    """Where a form was sent to, there is a page, for who opens that address once more."""
    return redirect(url_for("pages.overview"), 303)


@pages.get("/settings/<path:rest>")
def back_to_settings(rest: str) -> Any:
    """As above."""
    return _to_settings()


@pages.post("/unmatched/contact")
def add_unmatched_contact() -> Any:
    """Create a contact with an address that BrightSync asked for in vain."""
    record, _ = unmatched.add_unmatched_contact(request.form.get("address", ""))
    return redirect(url_for("pages.contact", record_id=record["id"]), 303)


@pages.post("/unmatched/ignore")
def ignore_unmatched() -> Any:
    """Keep an address off the list."""
    unmatched.ignore_unmatched(request.form.get("address", ""))
    return redirect(url_for("pages.overview"), 303)


@pages.get("/settings")
@show("settings.html")
def settings() -> dict[str, Any]:
    """Users, tokens, who is signed in, rules, what was refused and done."""
    listed = tokens.listed()
    return {
        "tokens": [one for one in listed if not one["revokedAt"]],
        "users": {user_id: user_of(user_id) for user_id in {one["userId"] for one in listed}},
        "labels": {one["id"]: one["label"] for one in listed},
        "all_users": page.records if (page := if_offered(crm.list_users, limit=100)) else None,
        "sessions": sessions.listed(),
        "this_session": session_id(),
        "this_token": g.caller.token_id,
        "this_user": g.caller.user_id,
        "rules": if_offered(crm.list_rules),
        "zone": zone().key,
        "retention": if_offered(lambda: [crm.get_retention()]),
        "refusals": tokens.newest_refusals(),
        "changes": if_offered(crm.newest_changes),
    }


@pages.post("/settings/sessions/end")
def end_session() -> Any:
    """Sign somebody out."""
    sessions.end(request.form.get("session", ""))
    return _to_settings()


@pages.post("/settings/never-log")
def add_rule() -> Any:
    """Never log emails with an address, a domain, or among our own people."""
    value = request.form.get("value", "").strip()
    kind = "internal" if "internal" in request.form else "address" if "@" in value else "domain"
    if not value and kind != "internal":  # nobody means all internal emails by nothing
        raise crm.Invalid(value="Give an address or a domain.")
    unless_known, reason = "unlessKnown" in request.form, request.form.get("reason", "").strip()
    rule = {"kind": kind, "value": value or None, "unlessKnown": unless_known, "reason": reason or None}
    crm.add_rule(NeverLogRuleIn().load(rule))
    return _to_settings()


@pages.post("/settings/never-log/<record_id:record_id>/remove")
def remove_rule(record_id: str) -> Any:
    """Remove a rule."""
    crm.remove_rule(record_id)
    return _to_settings()


@pages.post("/settings/retention")
def set_retention() -> Any:
    """How long emails are kept."""
    crm.set_retention(request.form.get("after", "").strip() or None, "keepLinked" in request.form)
    return _to_settings()


@pages.post("/settings/users")
def add_user() -> Any:
    """Add a user whose mailbox is watched."""
    defaults = {"email": "", "name": "", "timezone": "UTC", "orgId": current_app.config["ORG_ID"]}
    crm.add_user({name: request.form.get(name, "").strip() or default for name, default in defaults.items()})
    return _to_settings()


@pages.post("/settings/users/<record_id:record_id>/remove")
def remove_user(record_id: str) -> Any:
    """Remove a user, whose tokens end with that."""
    crm.remove_user(record_id)
    return _to_settings()


@pages.post("/settings/tokens")
def create_token() -> Any:
    """Make a token, which is shown once."""
    found = crm.lookup_users([request.form.get("email", "")])
    if not found:
        raise crm.Invalid(email="No user has it. Add the user first.")
    scope = request.form.get("scope", "sync")
    if scope not in tokens.SCOPES:
        abort(422, "There is no such scope.")
    label = request.form.get("label", "").strip()[:200] or None
    return render_template("token.html", token=tokens.create(found[0]["id"], scope, label), user=found[0], scope=scope)


@pages.post("/settings/tokens/<int(max=9223372036854775807):token_id>/revoke")
def revoke_token(token_id: int) -> Any:
    """End a token, and the sessions that were made with it."""
    tokens.revoke(token_id)
    return _to_settings()


def _to_settings() -> Any:
    return redirect(url_for("pages.settings"), 303)
