-- A few records, as the CRM itself would have written them.

INSERT INTO users (id, first_name, last_name, time_zone, date_entered, date_modified) VALUES
    ('seed-john', 'John', 'Smith', 'Europe/Berlin', '2025-01-01 08:00:00', '2025-01-01 08:00:00');

INSERT INTO accounts (id, name, website, date_entered, date_modified) VALUES
    ('seed-acme', 'Acme Ltd', 'https://www.Acme.example/', '2025-01-02 08:00:00', '2025-01-02 08:00:00');

INSERT INTO contacts (id, first_name, last_name, account_id, date_entered, date_modified, deleted) VALUES
    ('seed-jane', 'Jane', 'Doe', 'seed-acme', '2025-01-03 08:00:00', '2025-01-03 08:00:00', 0),
    ('seed-bob', 'Bob', 'Gone', 'seed-acme', '2025-01-03 09:00:00', '2025-06-30 17:00:00', 1);

INSERT INTO leads (id, first_name, last_name, date_entered, date_modified) VALUES
    ('seed-lena', 'Lena', 'Prospect', '2025-01-04 08:00:00', '2025-01-04 08:00:00');

INSERT INTO email_addresses (id, address, address_lower) VALUES
    ('address-john', 'john@othercrm.example', 'john@othercrm.example'),
    ('address-jane', 'Jane@Acme.example', 'jane@acme.example'),
    ('address-jane-2', 'jane.doe@home.example', 'jane.doe@home.example'),
    ('address-bob', 'bob@acme.example', 'bob@acme.example'),
    ('address-lena', 'lena@prospect.example', 'lena@prospect.example');

INSERT INTO email_address_links (id, email_address_id, bean_module, bean_id, primary_address) VALUES
    ('link-1', 'address-john', 'Users', 'seed-john', 1),
    ('link-2', 'address-jane-2', 'Contacts', 'seed-jane', 0),
    ('link-3', 'address-jane', 'Contacts', 'seed-jane', 1),
    ('link-4', 'address-bob', 'Contacts', 'seed-bob', 1),
    ('link-5', 'address-lena', 'Leads', 'seed-lena', 1);

-- A mail that the CRM logged before there was a connector.
INSERT INTO emails (id, name, message_id, date_sent, date_entered, date_modified) VALUES
    ('seed-mail', 'Offer 4711', '<offer-4711@othercrm.example>',
     '2025-02-01 09:30:00', '2025-02-01 09:31:00', '2025-02-01 09:31:00');
INSERT INTO emails_text (email_id, from_addr, to_addrs, description) VALUES
    ('seed-mail', 'john@othercrm.example', 'Jane@Acme.example, "Doe, J." <jane.doe@home.example>', 'Dear Jane,');
INSERT INTO email_recipients (id, email_id, email_address_id, address_type) VALUES
    ('recipient-1', 'seed-mail', 'address-john', 'from'),
    ('recipient-2', 'seed-mail', 'address-jane', 'to'),
    ('recipient-3', 'seed-mail', 'address-jane-2', 'to');
