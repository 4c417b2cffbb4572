-- What the connector adds to the CRM's tables; its own tables are made from store/tables.py and models.py. Names begin
-- with connector_, so that an upgrade of the CRM meets nothing of its own in another shape. On MySQL the CRM's times should become DATETIME(6) as well: two
-- changes within one second must not have the same date_modified.

-- An address as this contact writes it ("Jane <JANE@X.example>"), where its row in email_addresses is shared, and its
-- place among the contact's addresses, of which the CRM knows the primary one alone. NULL where the CRM wrote the link.
ALTER TABLE email_address_links ADD COLUMN connector_text TEXT;
ALTER TABLE email_address_links ADD COLUMN connector_position INTEGER;

-- The change feed is the connector's own table. Triggers fill it in the transaction of the change itself; so it also
-- tells what people change in the CRM's own screens, past the connector.

CREATE TRIGGER connector_contact_created AFTER INSERT ON contacts WHEN NOT new.deleted BEGIN
    INSERT INTO change (at, type, record_id, action) VALUES (strftime('%Y-%m-%dT%H:%M:%f000Z', new.date_modified), 'contact', new.id, 'created');
END;
CREATE TRIGGER connector_contact_changed AFTER UPDATE ON contacts WHEN NOT (old.deleted AND new.deleted) BEGIN
    INSERT INTO change (at, type, record_id, action) VALUES (strftime('%Y-%m-%dT%H:%M:%f000Z', new.date_modified), 'contact', new.id,
        CASE WHEN new.deleted THEN 'deleted' WHEN old.deleted THEN 'created' ELSE 'changed' END);
END;

CREATE TRIGGER connector_lead_created AFTER INSERT ON leads WHEN NOT new.deleted BEGIN
    INSERT INTO change (at, type, record_id, action)
    VALUES (strftime('%Y-%m-%dT%H:%M:%f000Z', new.date_modified), 'contact', 'lead:' || new.id, 'created');
END;
CREATE TRIGGER connector_lead_changed AFTER UPDATE ON leads WHEN NOT (old.deleted AND new.deleted) BEGIN
    INSERT INTO change (at, type, record_id, action) VALUES (strftime('%Y-%m-%dT%H:%M:%f000Z', new.date_modified), 'contact', 'lead:' || new.id,
        CASE WHEN new.deleted THEN 'deleted' WHEN old.deleted THEN 'created' ELSE 'changed' END);
END;

CREATE TRIGGER connector_account_created AFTER INSERT ON accounts WHEN NOT new.deleted BEGIN
    INSERT INTO change (at, type, record_id, action) VALUES (strftime('%Y-%m-%dT%H:%M:%f000Z', new.date_modified), 'company', new.id, 'created');
END;
CREATE TRIGGER connector_account_changed AFTER UPDATE ON accounts WHEN NOT (old.deleted AND new.deleted) BEGIN
    INSERT INTO change (at, type, record_id, action) VALUES (strftime('%Y-%m-%dT%H:%M:%f000Z', new.date_modified), 'company', new.id,
        CASE WHEN new.deleted THEN 'deleted' WHEN old.deleted THEN 'created' ELSE 'changed' END);
END;

CREATE TRIGGER connector_email_created AFTER INSERT ON emails WHEN NOT new.deleted BEGIN
    INSERT INTO change (at, type, record_id, action) VALUES (strftime('%Y-%m-%dT%H:%M:%f000Z', new.date_modified), 'email', new.id, 'created');
END;
CREATE TRIGGER connector_email_changed AFTER UPDATE ON emails WHEN NOT (old.deleted AND new.deleted) BEGIN
    INSERT INTO change (at, type, record_id, action) VALUES (strftime('%Y-%m-%dT%H:%M:%f000Z', new.date_modified), 'email', new.id,
        CASE WHEN new.deleted THEN 'deleted' WHEN old.deleted THEN 'created' ELSE 'changed' END);
END;
