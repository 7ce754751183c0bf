-- A sealed grant is active as long as its codes are good; a code opens it on its host, which tells of that in its journal.
ALTER TABLE access_grant ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;

CREATE TABLE opening (
    host         TEXT NOT NULL,
    access_grant TEXT NOT NULL,
    code         TEXT NOT NULL,
    reason       TEXT NOT NULL,
    at           INTEGER NOT NULL,
    until_at     INTEGER NOT NULL,
    PRIMARY KEY (access_grant, host, code)
) STRICT, WITHOUT ROWID;
