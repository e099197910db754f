-- Files that conversations are recorded into: written before the switch is asked, so that none runs on unknown.
CREATE TABLE recordings (
  name          TEXT    PRIMARY KEY,  -- of the file, without ending
  attempt_id    TEXT    NOT NULL REFERENCES attempts (id),
  bridge        TEXT    NOT NULL,
  started_at_ms INTEGER NOT NULL,
  paused        INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  ended_at_ms   INTEGER
) STRICT;
CREATE INDEX recordings_attempt ON recordings (attempt_id);
CREATE INDEX recordings_open ON recordings (started_at_ms) WHERE ended_at_ms IS NULL;
