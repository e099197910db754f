-- Calls that come in are attempts with a queue. Their caller may have no lead, and hide the number (''). SQLite drops
-- no NOT NULL by ALTER TABLE; its manual edits the schema's text for this, as what is on disk stays the same.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql,
  'lead_id        INTEGER NOT NULL REFERENCES leads (id)', 'lead_id        INTEGER REFERENCES leads (id)')
WHERE type = 'table' AND name IN ('attempts', 'calls');
UPDATE sqlite_schema SET sql = replace(sql,
  'lead_id    INTEGER NOT NULL REFERENCES leads (id)', 'lead_id    INTEGER REFERENCES leads (id)')
WHERE type = 'table' AND name = 'drafts';
PRAGMA writable_schema = RESET;

ALTER TABLE attempts ADD COLUMN queue_id TEXT;  -- NULL: we called

-- Two people may call from one number, and somebody may call us while we call them.
DROP INDEX attempts_open_number;
CREATE UNIQUE INDEX attempts_open_number ON attempts (number) WHERE ended_at_ms IS NULL AND queue_id IS NULL;

CREATE INDEX attempts_on_the_line ON attempts (number) WHERE ended_at_ms IS NULL;

-- The law counts the answers of those whom we called.
DROP INDEX attempts_answered;
CREATE INDEX attempts_answered ON attempts (campaign_id, answered_at_ms, outcome)
WHERE answered_at_ms IS NOT NULL AND queue_id IS NULL;

CREATE INDEX attempts_queue ON attempts (queue_id, planned_at_ms) WHERE queue_id IS NOT NULL;
