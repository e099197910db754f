-- What a user chose about the pages: keys that are switched off, sound.
ALTER TABLE users ADD COLUMN preferences TEXT NOT NULL DEFAULT '{}';  -- JSON

-- What people changed on a lead's card, value by value: who, when, and what it was before.
CREATE TABLE lead_edits (
  id      INTEGER PRIMARY KEY,
  lead_id INTEGER NOT NULL REFERENCES leads (id),
  field   TEXT    NOT NULL,  -- name, zone, or the name of one of its fields
  before  TEXT    NOT NULL,
  after   TEXT    NOT NULL,
  login   TEXT    NOT NULL,
  at_ms   INTEGER NOT NULL
) STRICT;
CREATE INDEX lead_edits_lead ON lead_edits (lead_id, at_ms);

-- Leads found to be the same person: the one that stays, the one that was closed for it, and how both were.
CREATE TABLE lead_merges (
  id           INTEGER PRIMARY KEY,
  kept_id      INTEGER NOT NULL REFERENCES leads (id),
  merged_id    INTEGER NOT NULL REFERENCES leads (id),
  before       TEXT    NOT NULL,  -- JSON: what the undo puts back
  login        TEXT    NOT NULL,
  at_ms        INTEGER NOT NULL,
  undone_at_ms INTEGER
) STRICT;
CREATE INDEX lead_merges_kept ON lead_merges (kept_id) WHERE undone_at_ms IS NULL;
CREATE UNIQUE INDEX lead_merges_merged ON lead_merges (merged_id) WHERE undone_at_ms IS NULL;
