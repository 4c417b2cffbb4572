INSERT INTO address (id, folded) VALUES (1, 'jane@acme.example'), (2, 'john@crm.example'), (5, 'jd@home.example');
INSERT INTO company (id, name, created_at, updated_at) VALUES ('7', 'Acme Ltd', '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z');
INSERT INTO company_domain (company_id, position, text, folded) VALUES ('7', 0, 'www.Acme.example', 'acme.example');
INSERT INTO contact (id, first_name, last_name, company_id, created_at, updated_at) VALUES
    ('42', 'Jane', NULL, '7', '2026-01-01T00:00:00.000001Z', '2026-01-02T00:00:00.000000Z');
INSERT INTO contact_address (contact_id, position, text, address_id) VALUES ('42', 0, 'JANE@acme.example', 1), ('42', 1, 'jd@home.example', 5), ('42', 2, '?', NULL);
INSERT INTO crm_user (id, org_id, name, email, folded, timezone, created_at) VALUES
    ('u1', 'org', 'John Smith', 'John@crm.example', 'john@crm.example', 'Europe/Berlin', '2026-01-01T00:00:00.000000Z');
INSERT INTO email (id, at, msg_id, rfc822_msg_id, rfc822_key, sync_thread_id, thread_key, in_reply_to, received_at, created_at, updated_at,
    from_name, has_attachments, subject, snippet, people, related_to, text_body, html_text, html_body, attachments) VALUES
    (1, '2026-01-31T08:30:00.000000Z', 'm1', '<hello@acme.example>', 'hello@acme.example', 't1', 't1', '<first@acme.example>',
    '2026-01-31T08:30:00.000000Z', '2026-02-01T00:00:00.000000Z', '2026-02-01T00:00:00.000002Z',
    'Jane Doe', TRUE, 'Offer 4711', 'Dear John', 'Jane Doe
jane@acme.example
John <john@crm.example>
undisclosed-recipients:;', '[{"type": "Contact", "id": "42"}]', 'Dear John', 'Dear John', '<p>Dear <b>John</b></p>',
    '[{"id": "1", "name": "offer.pdf", "content": "JVBERg=="}]'),
    (4, '2026-02-02T00:00:00.000000Z', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-02-02T00:00:00.000000Z', '2026-02-02T00:00:00.000000Z',
    NULL, FALSE, NULL, '', '', NULL, NULL, NULL, NULL, NULL);
INSERT INTO recipient (email_id, role, position, text, address_id, at) VALUES
    (1, 'from', 0, 'jane@acme.example', 1, '2026-01-31T08:30:00.000000Z'),
    (1, 'to', 0, 'John <john@crm.example>', 2, '2026-01-31T08:30:00.000000Z'),
    (1, 'to', 1, 'undisclosed-recipients:;', NULL, '2026-01-31T08:30:00.000000Z');
INSERT INTO relation (email_id, type, record_id, at) VALUES (1, 'contact', '42', '2026-01-31T08:30:00.000000Z');
INSERT INTO sighting (msg_key, email_id) VALUES ('m1', 1), ('copy', 1);
INSERT INTO change (seq, at, type, record_id, action) VALUES
    (1, '2026-01-01T00:00:00.000000Z', 'company', '7', 'created'),
    (2, '2026-01-01T00:00:00.000001Z', 'contact', '42', 'created'),
    (3, '2026-01-02T00:00:00.000000Z', 'contact', '42', 'changed'),
    (4, '2026-02-01T00:00:00.000000Z', 'email', '1', 'created'),
    (5, '2026-02-01T00:00:00.000001Z', 'email', '3', 'created'),
    (6, '2026-02-01T00:00:00.000002Z', 'email', '1', 'changed'),
    (7, '2026-02-01T00:00:00.000003Z', 'email', '3', 'deleted'),
    (8, '2026-02-02T00:00:00.000000Z', 'email', '4', 'created');
