-- An import may change leads that are there, and may be undone.
ALTER TABLE imports ADD COLUMN mode TEXT NOT NULL DEFAULT 'create' CHECK (mode IN ('create', 'update', 'both'));
ALTER TABLE imports ADD COLUMN updated_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE imports ADD COLUMN reverted_at_ms INTEGER;

-- How a lead was before an import changed it.
CREATE TABLE import_changes (
  import_id INTEGER NOT NULL REFERENCES imports (id),
  lead_id   INTEGER NOT NULL REFERENCES leads (id),
  line      INTEGER NOT NULL,
  before    TEXT    NOT NULL,  -- JSON
  PRIMARY KEY (import_id, lead_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX import_changes_lead ON import_changes (lead_id);
CREATE INDEX import_changes_line ON import_changes (import_id, line);
CREATE INDEX intake_lead ON intake (lead_id);
