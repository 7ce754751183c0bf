-- What commands printed: what the hosts' journals say of each recording, and since when it is here. The bytes are files beside this.
CREATE TABLE recording (
    host         TEXT NOT NULL REFERENCES host (name),
    run          TEXT NOT NULL,
    access_grant TEXT,
    what         TEXT NOT NULL,
    began        INTEGER NOT NULL,
    bytes        INTEGER,
    sha256       TEXT,
    whole        INTEGER,
    received     INTEGER,
    PRIMARY KEY (host, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX recording_grant ON recording (access_grant);
CREATE INDEX recording_began ON recording (began);
