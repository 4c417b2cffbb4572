INSERT INTO refusal (seq, at, status, method, route, address, token_id) VALUES
    (2, '2026-02-03T00:00:00.000000Z', 401, 'POST', '/api/v1/emails', '192.0.2.7', NULL),
    (3, '2026-02-03T00:00:01.000000Z', 403, 'GET', '/api/v1/changes', '2001:db8::', 1);
UPDATE change SET token_id = 1 WHERE seq = 4;
