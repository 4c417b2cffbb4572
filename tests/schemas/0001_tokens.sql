INSERT INTO token (id, sha256, user_id, scope, label, created_at, expires_at, revoked_at) VALUES
    (1, 'e0afc67cd29ae18ed5fdb6c1c2f38b0ce3d6fdb3e4bc0fc3ec04a0a2ab0adff8', 'u1', 'admin', 'für das CRM', '2026-01-01T00:00:00.000000Z', NULL, NULL),
    (3, 'a24f6a7d8b7cf2b4ba69e3ba8d31e0a1cd1f8c39a9b1b7dd3f3f1d9e06b6f5aa', 'u1', 'sync', NULL, '2026-01-02T00:00:00.000000Z', '2026-02-01T00:00:00.000000Z', '2026-01-03T00:00:00.000000Z');
