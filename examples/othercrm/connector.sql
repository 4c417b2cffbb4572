-- What the connector adds, because the CRM's tables can't hold it. Names begin with connector_, so that an upgrade of
-- the CRM meets nothing of its own in another shape. On MySQL the CRM's times should become DATETIME(6) as well: two
-- changes within one second must not have the same date_modified.

-- An address as this contact writes it ("Jane <JANE@X.example>"), where its row in email_addresses is shared, and its
-- place among the contact's addresses, of which the CRM knows the primary one alone. NULL where the CRM wrote the link.
ALTER TABLE email_address_links ADD COLUMN connector_text TEXT;
ALTER TABLE email_address_links ADD COLUMN connector_position INTEGER;

-- A company has several domains, and they are looked up folded; the CRM has one website, as somebody typed it.
CREATE TABLE connector_domains (
    account_id CHAR(36) NOT NULL REFERENCES accounts (id),
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    folded VARCHAR(998),
    PRIMARY KEY (account_id, position)
);
CREATE INDEX connector_domains_folded ON connector_domains (folded);

-- A mail as it was sent, without what `emails` and `emails_text` hold to the letter: a JSON object. Here are the lists
-- of recipients with their nonsense and duplicates, relatedTo in its own shape, attachments with keys that notes lack.
CREATE TABLE connector_emails (
    email_id CHAR(36) NOT NULL PRIMARY KEY REFERENCES emails (id),
    thread_key VARCHAR(998),
    sent TEXT NOT NULL
);
CREATE INDEX connector_emails_thread ON connector_emails (thread_key);

-- The msgId of each copy that was seen in a mailbox.
CREATE TABLE connector_sightings (
    msg_key VARCHAR(998) NOT NULL,
    email_id CHAR(36) NOT NULL REFERENCES emails (id),
    PRIMARY KEY (msg_key, email_id)
);
CREATE INDEX connector_sightings_email ON connector_sightings (email_id);

-- The change feed. Triggers fill it in the transaction of the change itself; so it also tells what people change in
-- the CRM's own screens, past the connector. AUTOINCREMENT: a number is never given twice.
CREATE TABLE connector_changes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at DATETIME NOT NULL,
    type VARCHAR(10) NOT NULL,
    record_id VARCHAR(255) NOT NULL,
    action VARCHAR(10) NOT NULL
);

CREATE TRIGGER connector_contact_created AFTER INSERT ON contacts WHEN NOT new.deleted BEGIN
    INSERT INTO connector_changes (at, type, record_id, action) VALUES (new.date_modified, 'contact', new.id, 'created');
END;
CREATE TRIGGER connector_contact_changed AFTER UPDATE ON contacts WHEN NOT (old.deleted AND new.deleted) BEGIN
    INSERT INTO connector_changes (at, type, record_id, action) VALUES (new.date_modified, 'contact', new.id,
        CASE WHEN new.deleted THEN 'deleted' WHEN old.deleted THEN 'created' ELSE 'changed' END);
END;

CREATE TRIGGER connector_lead_created AFTER INSERT ON leads WHEN NOT new.deleted BEGIN
    INSERT INTO connector_changes (at, type, record_id, action)
    VALUES (new.date_modified, 'contact', 'lead:' || new.id, 'created');
END;
CREATE TRIGGER connector_lead_changed AFTER UPDATE ON leads WHEN NOT (old.deleted AND new.deleted) BEGIN
    INSERT INTO connector_changes (at, type, record_id, action) VALUES (new.date_modified, 'contact', 'lead:' || new.id,
        CASE WHEN new.deleted THEN 'deleted' WHEN old.deleted THEN 'created' ELSE 'changed' END);
END;

CREATE TRIGGER connector_account_created AFTER INSERT ON accounts WHEN NOT new.deleted BEGIN
    INSERT INTO connector_changes (at, type, record_id, action) VALUES (new.date_modified, 'company', new.id, 'created');
END;
CREATE TRIGGER connector_account_changed AFTER UPDATE ON accounts WHEN NOT (old.deleted AND new.deleted) BEGIN
    INSERT INTO connector_changes (at, type, record_id, action) VALUES (new.date_modified, 'company', new.id,
        CASE WHEN new.deleted THEN 'deleted' WHEN old.deleted THEN 'created' ELSE 'changed' END);
END;

CREATE TRIGGER connector_email_created AFTER INSERT ON emails WHEN NOT new.deleted BEGIN
    INSERT INTO connector_changes (at, type, record_id, action) VALUES (new.date_modified, 'email', new.id, 'created');
END;
CREATE TRIGGER connector_email_changed AFTER UPDATE ON emails WHEN NOT (old.deleted AND new.deleted) BEGIN
    INSERT INTO connector_changes (at, type, record_id, action) VALUES (new.date_modified, 'email', new.id,
        CASE WHEN new.deleted THEN 'deleted' WHEN old.deleted THEN 'created' ELSE 'changed' END);
END;
