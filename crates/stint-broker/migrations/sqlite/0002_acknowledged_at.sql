-- When the host said what it said last, by its own time: of two acknowledgements of one version the later one counts.
ALTER TABLE host ADD COLUMN ack_at INTEGER;
