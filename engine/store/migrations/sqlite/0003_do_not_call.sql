-- What processes tell one another: whoever changes a subject raises its number, the engine looks several times a second.
CREATE TABLE revisions (
  subject  TEXT    PRIMARY KEY,  -- 'do_not_call' or 'leads:<campaign>'
  revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A number may be on several lists: everybody's, a campaign's, a partner's.
CREATE TABLE listed (
  number        TEXT    NOT NULL,
  list          TEXT    NOT NULL,  -- 'system', 'campaign:<key>' or 'partner:<key>'
  reason        TEXT    NOT NULL,
  suppressed_by TEXT    NOT NULL,
  at_ms         INTEGER NOT NULL,
  PRIMARY KEY (number, list)
) STRICT, WITHOUT ROWID;
INSERT INTO listed SELECT number, 'system', reason, suppressed_by, at_ms FROM suppressions;
DROP TABLE suppressions;
ALTER TABLE listed RENAME TO suppressions;
CREATE INDEX suppressions_at ON suppressions (at_ms, number, list);

-- Numbers of persons who were erased: known again when they come back, but not to be read.
CREATE TABLE erased_numbers (
  seal  TEXT    PRIMARY KEY,  -- HMAC with the key of this installation
  at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE leads ADD COLUMN source TEXT NOT NULL DEFAULT '';  -- the partner that the lead came from
ALTER TABLE leads ADD COLUMN erased_at_ms INTEGER;

-- The one place that says which lists a lead's number must not be on.
CREATE VIEW lead_phones AS
SELECT p.lead_id, p.position, p.number, p.tail, p.valid,
  p.valid AND NOT EXISTS (
    SELECT 1 FROM suppressions s
    WHERE s.number = p.number AND s.list IN ('system', 'campaign:' || l.campaign_id, 'partner:' || l.source)
  ) AS usable
FROM phones p JOIN leads l ON l.id = p.lead_id;
