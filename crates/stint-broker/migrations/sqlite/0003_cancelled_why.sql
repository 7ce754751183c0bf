-- Why a request was cancelled, if somebody else than its requester, or the catalog, did it.
ALTER TABLE request ADD COLUMN cancelled_why TEXT;
