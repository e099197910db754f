-- An import is a job: its file is kept beside the database until the end, and a piece of leads, how far it is and the
-- counts are one commit, so that a killed one goes on where it was.
ALTER TABLE imports ADD COLUMN kept TEXT NOT NULL DEFAULT '';  -- the file's name in the folder of imports
ALTER TABLE imports ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';  -- JSON: what a person chose of columns and duplicates
ALTER TABLE imports ADD COLUMN rows_total INTEGER NOT NULL DEFAULT 0;  -- of the file, as far as it has been read
ALTER TABLE imports ADD COLUMN through_line INTEGER NOT NULL DEFAULT 0;  -- rows up to here are decided and stored
ALTER TABLE imports ADD COLUMN listed_count INTEGER NOT NULL DEFAULT 0;  -- leads all of whose numbers must not be called
ALTER TABLE imports ADD COLUMN cancel_asked_at_ms INTEGER;
ALTER TABLE imports ADD COLUMN problem TEXT NOT NULL DEFAULT '';  -- why it ended without its leads
CREATE INDEX imports_open ON imports (id) WHERE ended_at_ms IS NULL;

-- One that died before this version is not carried on: what is in stays, the same file again adds the rest.
UPDATE imports SET state = 'cancelled', ended_at_ms = started_at_ms WHERE ended_at_ms IS NULL;
DROP TABLE import_rows;

-- What people chose for files with these headings; the next such file is read in the same way.
CREATE TABLE import_profiles (
  headings   TEXT    PRIMARY KEY,  -- JSON: the folded names of the columns
  name       TEXT    NOT NULL,
  settings   TEXT    NOT NULL,  -- JSON
  saved_by   TEXT    NOT NULL,
  used_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX import_profiles_name ON import_profiles (name) WHERE name <> '';

-- Numbers are found by the search's index of words.
DROP VIEW lead_phones;
DROP INDEX phones_tail;
ALTER TABLE phones DROP COLUMN tail;
CREATE VIEW lead_phones AS
SELECT p.lead_id, p.position, p.number, p.valid,
  p.valid AND NOT EXISTS (
    SELECT 1 FROM suppressions s
    WHERE s.number = p.number AND s.list IN ('system', 'campaign:' || l.campaign_id, 'partner:' || l.source)
  ) AS usable
FROM phones p JOIN leads l ON l.id = p.lead_id;
