"""What an email adds: GET /emails/{id}?body=new, and the function behind it."""

from typing import Any

import pytest

from crm.quoting import new_text
from tests.samples import EMAILS, assert_error, log

WROTE = "On Mon, Jan 5, 2026 at 9:00 AM Bob Smith <bob@x.example> wrote:"
OUTLOOK = "From: Bob <bob@x.example>\nSent: Monday, January 5, 2026 9:00 AM\nTo: Jane\nSubject: Price\n\nHow much?"
VON = "Von: Bob <bob@x.example>\nGesendet: Montag, 5. Januar 2026 09:00\nAn: Jane\nBetreff: Preis\n\nWie viel?"
NOTICE = "Disclaimer: This e-mail is confidential. Delete this mail if it is not for you."


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("", ""),
        ("Dear John,\nthe price is 12.", "Dear John,\nthe price is 12."),
        (f"Hi Bob,\r\n\r\ntwelve.\r\n\r\n{WROTE}\r\n\r\n> How\r\n> much?\r\n", "Hi Bob,\n\ntwelve."),
        (f"Twelve.\n\n{WROTE.replace(' <', chr(10) + '<')}\n\n> How much?", "Twelve."),
        (f"Twelve.\n\n{WROTE}\n\nHow much?", "Twelve."),
        (f"{WROTE}\n> How much?\n\nTwelve.\n", "Twelve."),
        ("On 5 Jan 2026, Bob wrote:\n> How much?\nTwelve.\n>> When?\n> By whom?\nNow.", "Twelve.\nNow."),
        (f"Hi,\n\n{WROTE}\n> How much?\nTwelve.\n> When?\nNow.", "Hi,\n\nTwelve.\nNow."),
        ("Zwölf.\n\nAm 05.01.26 um 09:00 schrieb Bob:\n> Wie viel?", "Zwölf."),
        ("Douze.\n\nLe lun. 5 janv. 2026 à 09:00, Bob <bob@x.example> a écrit :\n\n> Combien ?", "Douze."),
        ("Doce.\n\nEl lun, 5 ene 2026 a las 9:00, Bob (<bob@x.example>) escribió:\n\n> ¿Cuánto?", "Doce."),
        ("Kaksitoista.\n\nma 5. tammik. 2026 klo 9.00 Bob\n<bob@x.example> kirjoitti:\n> Paljonko?", "Kaksitoista."),
        (f"Twelve.\n\n________________________________\n{OUTLOOK}", "Twelve."),
        (f"Twelve.\n\n-----Original Message-----\n{OUTLOOK}", "Twelve."),
        (f"Zwölf.\n\n-----Ursprüngliche Nachricht-----\n{VON}", "Zwölf."),
        (f"FYI\n\n---------- Forwarded message ---------\n{OUTLOOK}", "FYI"),
        (f"---------- Forwarded message ---------\n{OUTLOOK}", f"---------- Forwarded message ---------\n{OUTLOOK}"),
        (OUTLOOK, OUTLOOK),
        ("> How much?", "> How much?"),
        ("Twelve.\n\nBest regards,\nJane Doe\nAcme Ltd", "Twelve."),
        ("Zwölf.\n\nMit freundlichen Grüßen\nJane", "Zwölf."),
        ("Twelve.\n\n-- \nJane Doe", "Twelve."),
        (f"Twelve.\n\nSent from my iPhone\n\n> {WROTE}\n> \n> How much?", "Twelve."),
        (f"Twelve.\n\n{NOTICE}", "Twelve."),
        ("Thanks, that helps.\nThe price is 12.", "Thanks, that helps.\nThe price is 12."),
        ("There are:\n\n- one\n- two\n\nWhich?", "There are:\n\n- one\n- two\n\nWhich?"),
        ("Best regards,\nJane", "Best regards,\nJane"),
        ("Price: 12\nNote: see <a@x.example>:\nall of it.", "Price: 12\nNote: see <a@x.example>:\nall of it."),
        ("word " * 1000 + f"\n{WROTE}\n> x", ("word " * 1000).strip()),
        ("a\n" * 3000 + "> b", "a\n" * 3000 + "> b"),
    ],
)  # fmt: skip
def test_new_text_is_what_the_mail_adds(text: str, new: str) -> None:
    """Not what is quoted below, above or in between, nor what ends every mail; never nothing, and never less of it."""
    assert new_text(text) == new


def test_the_body_is_what_the_mail_adds_where_that_is_asked_for(client: Any) -> None:
    """All else is as it is stored, and what is stored does not change."""
    email = log(client, textBody=f"Twelve.\r\n\r\n{WROTE}\r\n> How much?\r\n", htmlBody="<p>Twelve.</p>")
    path = f"{EMAILS}/{email['id']}"
    assert client.get(f"{path}?body=new").json == email | {"textBody": "Twelve."}
    assert client.get(path).json == email
    assert assert_error(client.get(f"{path}?body=old"), 422)["errors"]["query"].keys() == {"body"}


@pytest.mark.parametrize(
    ("html", "new"),
    [
        (None, ""),
        ("<p>Twelve&nbsp;<b>euro</b></p>", "Twelve euro"),
        (f"<div>Twelve.<br></div>{WROTE.replace('<', '&lt;')}<blockquote>How <p>much?</blockquote>", "Twelve."),
        ("<p>Twelve.</p><blockquote>How much?</blockquote><blockquote>When?</blockquote><p>Now.", "Twelve.\n\nNow."),
        ("<p>Twelve.</p><hr><p><b>From:</b> Bob<br><b>Sent:</b> Monday<br><b>To:</b> Jane</p><p>How much?", "Twelve."),
        ("<style>p {}</style><template><p>x</template>Twelve.</blockquote><br>Now.", "Twelve.\nNow."),
    ],
)  # fmt: skip
def test_a_mail_of_html_alone_has_a_text(client: Any, html: str | None, new: str) -> None:
    """Its lines are where a reader sees them, and a blockquote is a quotation."""
    email = log(client, htmlBody=html)
    text = client.get(f"{EMAILS}/{email['id']}?body=new").json["textBody"]
    assert [line for line in text.split("\n") if line] == [line for line in new.split("\n") if line]


def test_a_snippet_is_the_beginning_of_what_the_mail_adds(client: Any) -> None:
    """Of an answer below a quotation too, and of HTML."""
    client.put("/api/v1/contacts/1", json={"emailAddresses": ["jane@a.example"]})
    log(client, fromAddress="jane@a.example", textBody=f"{WROTE}\n> How much?\n\nTwelve.\n\nBest regards,\nJane")
    log(client, fromAddress="jane@a.example", htmlBody="<p>Thirteen.<blockquote>Twelve.</blockquote>")
    entries = client.get("/api/v1/contacts/1/emails").json
    assert [entry["snippet"] for entry in entries] == ["Thirteen.", "Twelve."]
