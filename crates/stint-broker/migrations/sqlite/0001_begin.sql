CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Every change, in the same transaction as the change. Each carries the hash of the one before.
CREATE TABLE event (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,
    prev    TEXT NOT NULL,
    hash    TEXT NOT NULL
) STRICT;
CREATE TRIGGER event_is_never_changed BEFORE UPDATE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER event_is_never_removed BEFORE DELETE ON event
BEGIN SELECT RAISE(ABORT, 'an event is never removed'); END;

CREATE TABLE root (
    version  INTEGER PRIMARY KEY,
    envelope TEXT NOT NULL
) STRICT;

CREATE TABLE roster (
    version  INTEGER PRIMARY KEY,
    envelope TEXT NOT NULL
) STRICT;

CREATE TABLE person (
    name         TEXT PRIMARY KEY,
    account      TEXT NOT NULL,
    roles        TEXT NOT NULL,
    enabled      INTEGER NOT NULL,
    password     TEXT NOT NULL,
    totp_secret  TEXT NOT NULL,
    totp_step    INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    locked_until INTEGER NOT NULL
) STRICT;

CREATE TABLE session (
    token_hash TEXT PRIMARY KEY,
    person     TEXT NOT NULL REFERENCES person (name),
    expires_at INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX session_person ON session (person);

CREATE TABLE host (
    name           TEXT PRIMARY KEY,
    labels         TEXT NOT NULL,
    identity_key   TEXT,
    machine        TEXT,
    formats        INTEGER NOT NULL,
    enrolled_at    INTEGER,
    mode           TEXT,
    last_seen      INTEGER,
    -- How often something changed that its bundle must show, and up to which change the newest bundle shows it.
    wanted         INTEGER NOT NULL,
    built          INTEGER NOT NULL,
    bundle_version INTEGER NOT NULL,
    ack_version    INTEGER
) STRICT;

CREATE TABLE host_certificate (
    sha256    TEXT PRIMARY KEY,
    host      TEXT NOT NULL REFERENCES host (name),
    not_after INTEGER NOT NULL
) STRICT;

CREATE TABLE invitation (
    secret_hash TEXT PRIMARY KEY,
    host        TEXT NOT NULL REFERENCES host (name),
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER
) STRICT;

CREATE TABLE bundle (
    host      TEXT PRIMARY KEY REFERENCES host (name),
    epoch     INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    digest    TEXT NOT NULL,
    head      TEXT NOT NULL,
    shards    TEXT NOT NULL,
    reviews   TEXT NOT NULL
) STRICT;

CREATE TABLE request (
    id             TEXT PRIMARY KEY,
    version        INTEGER NOT NULL,
    state          TEXT NOT NULL,
    principal      TEXT NOT NULL,
    entitlement    TEXT NOT NULL,
    terms          TEXT NOT NULL,
    policy         TEXT NOT NULL,
    reviews_needed INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    claim_by       INTEGER NOT NULL
) STRICT;
CREATE INDEX request_state ON request (state, claim_by);

CREATE TABLE review (
    request   TEXT NOT NULL REFERENCES request (id),
    reviewer  TEXT NOT NULL,
    decision  TEXT NOT NULL,
    statement TEXT NOT NULL,
    signature TEXT NOT NULL,
    comment   TEXT,
    at        INTEGER NOT NULL,
    PRIMARY KEY (request, reviewer)
) STRICT;

CREATE TABLE access_grant (
    id             TEXT PRIMARY KEY REFERENCES request (id),
    version        INTEGER NOT NULL,
    state          TEXT NOT NULL,
    principal      TEXT NOT NULL,
    account        TEXT NOT NULL,
    entitlement    TEXT NOT NULL,
    not_before     INTEGER NOT NULL,
    claim_by       INTEGER NOT NULL,
    window_s       INTEGER NOT NULL,
    extension_left INTEGER NOT NULL,
    from_at        INTEGER,
    until_at       INTEGER,
    ended_at       INTEGER,
    ended_by       TEXT,
    end_reason     TEXT
) STRICT;
CREATE INDEX grant_state ON access_grant (state);

CREATE TABLE grant_host (
    access_grant TEXT NOT NULL REFERENCES access_grant (id),
    host         TEXT NOT NULL REFERENCES host (name),
    PRIMARY KEY (access_grant, host)
) STRICT;
CREATE INDEX grant_host_host ON grant_host (host);

CREATE TABLE access_lock (
    id       TEXT PRIMARY KEY,
    kind     TEXT NOT NULL,
    target   TEXT NOT NULL,
    reason   TEXT NOT NULL,
    set_by   TEXT NOT NULL,
    since    INTEGER NOT NULL,
    until_at INTEGER
) STRICT;

-- How far the newest change of a grant or lock has come on each host that it concerns.
CREATE TABLE effect (
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    host         TEXT NOT NULL REFERENCES host (name),
    wanted       INTEGER NOT NULL,
    changed_ms   INTEGER NOT NULL,
    version      INTEGER,
    effective_ms INTEGER,
    refused      TEXT,
    PRIMARY KEY (kind, subject, host)
) STRICT;
CREATE INDEX effect_host ON effect (host, effective_ms);

-- Where each host's journal stands here, and the journal itself.
CREATE TABLE journal (
    host  TEXT PRIMARY KEY REFERENCES host (name),
    epoch INTEGER NOT NULL,
    size  INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;

CREATE TABLE journal_record (
    host  TEXT NOT NULL REFERENCES host (name),
    epoch INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    hash  TEXT NOT NULL,
    text  TEXT NOT NULL,
    PRIMARY KEY (host, epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal_checkpoint (
    host  TEXT NOT NULL REFERENCES host (name),
    epoch INTEGER NOT NULL,
    size  INTEGER NOT NULL,
    text  TEXT NOT NULL,
    PRIMARY KEY (host, epoch, size)
) STRICT, WITHOUT ROWID;
