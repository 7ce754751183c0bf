-- The newest receipt of each grant from each host, in short. The record itself stands in the host's journal.
CREATE TABLE receipt (
    host         TEXT NOT NULL,
    access_grant TEXT NOT NULL,
    line         TEXT NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (access_grant, host)
) STRICT, WITHOUT ROWID;
