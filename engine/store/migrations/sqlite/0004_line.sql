-- The rule that a lead waits for or was closed by (`LeadChange.rule`): why it is not dialed.
ALTER TABLE leads ADD COLUMN hold TEXT NOT NULL DEFAULT '';
UPDATE leads SET hold = coalesce((
  SELECT rule FROM (
    SELECT a.ended_at_ms AS at_ms, a.rule FROM attempts a WHERE a.lead_id = leads.id AND a.rule <> ''
    UNION ALL
    SELECT d.at_ms, d.rule FROM attempts a JOIN dispositions d ON d.attempt_id = a.id WHERE a.lead_id = leads.id
  ) ORDER BY at_ms DESC LIMIT 1), '')
WHERE state IN ('retry', 'callback', 'closed');

-- The lead's place among those whose time has come: smaller is dialed sooner; NULL is not in line.
ALTER TABLE leads ADD COLUMN line BLOB;
DROP INDEX leads_queue;
CREATE INDEX leads_line ON leads (campaign_id, coalesce(zone, ''), line, id) WHERE line IS NOT NULL;
CREATE INDEX leads_waiting ON leads (campaign_id, next_at_ms, id, hold, zone) WHERE line IS NULL AND state IN ('new', 'retry');
CREATE INDEX leads_promised ON leads (campaign_id, next_at_ms, id) WHERE state = 'callback';
DROP INDEX leads_state;
CREATE INDEX leads_state ON leads (campaign_id, state, hold);
-- Whatever changes what a place is made from, whoever does it, the lead is lined up anew.
CREATE TRIGGER leads_leave_line
AFTER UPDATE OF state, next_at_ms, priority, zone, fields, attempts_count ON leads WHEN NEW.line IS NOT NULL
BEGIN UPDATE leads SET line = NULL WHERE id = NEW.id; END;

-- By which order each campaign's line is made, and the turns that its sources have had.
CREATE TABLE lines (
  campaign_id TEXT PRIMARY KEY,
  made_by     TEXT NOT NULL,
  turns       TEXT NOT NULL  -- JSON
) STRICT;
