-- The tables of a CRM that is not ours, in our own words: a layout as several open-source CRMs have it.
--
-- Every record has an id of 36 characters and is deleted softly: its row stays, with deleted = 1. Times are UTC. Each
-- address is stored once and linked to whoever has it; bean_module says in whose table bean_id is to be found.

CREATE TABLE users (
    id CHAR(36) NOT NULL PRIMARY KEY,
    first_name VARCHAR(255),
    last_name VARCHAR(255),
    time_zone VARCHAR(64),
    date_entered DATETIME NOT NULL,
    date_modified DATETIME NOT NULL,
    deleted BOOLEAN NOT NULL DEFAULT 0
);

CREATE TABLE accounts (
    id CHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255),
    website VARCHAR(255),
    date_entered DATETIME NOT NULL,
    date_modified DATETIME NOT NULL,
    deleted BOOLEAN NOT NULL DEFAULT 0
);

CREATE TABLE contacts (
    id CHAR(36) NOT NULL PRIMARY KEY,
    first_name VARCHAR(255),
    last_name VARCHAR(255),
    account_id CHAR(36) REFERENCES accounts (id),
    date_entered DATETIME NOT NULL,
    date_modified DATETIME NOT NULL,
    deleted BOOLEAN NOT NULL DEFAULT 0
);

CREATE TABLE leads (
    id CHAR(36) NOT NULL PRIMARY KEY,
    first_name VARCHAR(255),
    last_name VARCHAR(255),
    account_id CHAR(36) REFERENCES accounts (id),
    date_entered DATETIME NOT NULL,
    date_modified DATETIME NOT NULL,
    deleted BOOLEAN NOT NULL DEFAULT 0
);

CREATE TABLE email_addresses (
    id CHAR(36) NOT NULL PRIMARY KEY,
    address VARCHAR(255) NOT NULL,
    address_lower VARCHAR(255) NOT NULL,
    opt_out BOOLEAN NOT NULL DEFAULT 0,
    deleted BOOLEAN NOT NULL DEFAULT 0
);
CREATE INDEX email_addresses_lower ON email_addresses (address_lower);

CREATE TABLE email_address_links (
    id CHAR(36) NOT NULL PRIMARY KEY,
    email_address_id CHAR(36) NOT NULL REFERENCES email_addresses (id),
    bean_module VARCHAR(100) NOT NULL,  -- Contacts, Leads, Users
    bean_id CHAR(36) NOT NULL,
    primary_address BOOLEAN NOT NULL DEFAULT 0,
    deleted BOOLEAN NOT NULL DEFAULT 0
);
CREATE INDEX email_address_links_address ON email_address_links (email_address_id);
CREATE INDEX email_address_links_bean ON email_address_links (bean_id, bean_module);

CREATE TABLE emails (
    id CHAR(36) NOT NULL PRIMARY KEY,
    name VARCHAR(255),  -- the subject
    message_id VARCHAR(255),
    date_sent DATETIME,
    date_entered DATETIME NOT NULL,
    date_modified DATETIME NOT NULL,
    deleted BOOLEAN NOT NULL DEFAULT 0
);
CREATE INDEX emails_message_id ON emails (message_id);

CREATE TABLE emails_text (
    email_id CHAR(36) NOT NULL PRIMARY KEY REFERENCES emails (id),
    from_addr VARCHAR(255),
    to_addrs TEXT,
    cc_addrs TEXT,
    bcc_addrs TEXT,
    description TEXT,
    description_html TEXT
);

CREATE TABLE email_recipients (
    id CHAR(36) NOT NULL PRIMARY KEY,
    email_id CHAR(36) NOT NULL REFERENCES emails (id),
    email_address_id CHAR(36) NOT NULL REFERENCES email_addresses (id),
    address_type VARCHAR(4) NOT NULL,  -- from, to, cc, bcc
    deleted BOOLEAN NOT NULL DEFAULT 0
);
CREATE INDEX email_recipients_email ON email_recipients (email_id);
CREATE INDEX email_recipients_address ON email_recipients (email_address_id);

CREATE TABLE email_beans (
    id CHAR(36) NOT NULL PRIMARY KEY,
    email_id CHAR(36) NOT NULL REFERENCES emails (id),
    bean_module VARCHAR(100) NOT NULL,  -- Contacts, Leads, Accounts
    bean_id CHAR(36) NOT NULL,
    deleted BOOLEAN NOT NULL DEFAULT 0
);
CREATE INDEX email_beans_email ON email_beans (email_id);
CREATE INDEX email_beans_bean ON email_beans (bean_id, bean_module);

CREATE TABLE notes (  -- a file is a note whose parent is the mail
    id CHAR(36) NOT NULL PRIMARY KEY,
    filename VARCHAR(255),
    file_mime_type VARCHAR(100),
    parent_type VARCHAR(100),
    parent_id CHAR(36),
    date_entered DATETIME NOT NULL,
    date_modified DATETIME NOT NULL,
    deleted BOOLEAN NOT NULL DEFAULT 0
);
CREATE INDEX notes_parent ON notes (parent_id, parent_type);
