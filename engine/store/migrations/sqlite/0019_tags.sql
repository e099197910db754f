-- What a lead is marked with, and whose client it is for good; `owner` is whose promised call it waits for.
ALTER TABLE leads ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';  -- JSON: small letters, each once, in order
ALTER TABLE leads ADD COLUMN keeper TEXT;  -- the agent
CREATE INDEX leads_keeper ON leads (keeper, id) WHERE keeper IS NOT NULL;

-- Leads by tag: kept level by what changes a lead, whoever does it.
CREATE TABLE lead_tags (
  tag     TEXT    NOT NULL,
  lead_id INTEGER NOT NULL,
  PRIMARY KEY (tag, lead_id)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER leads_come_tagged AFTER INSERT ON leads WHEN NEW.tags <> '[]'
BEGIN INSERT INTO lead_tags SELECT value, NEW.id FROM json_each(NEW.tags); END;
CREATE TRIGGER leads_are_tagged AFTER UPDATE OF tags ON leads WHEN NEW.tags <> OLD.tags
BEGIN
  DELETE FROM lead_tags WHERE lead_id = OLD.id AND tag IN (SELECT value FROM json_each(OLD.tags));
  INSERT INTO lead_tags SELECT value, NEW.id FROM json_each(NEW.tags);
END;
CREATE TRIGGER leads_go_tagged AFTER DELETE ON leads WHEN OLD.tags <> '[]'
BEGIN DELETE FROM lead_tags WHERE lead_id = OLD.id AND tag IN (SELECT value FROM json_each(OLD.tags)); END;

-- A place in the line and the words of the search are made from tags too.
DROP TRIGGER leads_leave_line;
CREATE TRIGGER leads_leave_line
AFTER UPDATE OF state, next_at_ms, priority, zone, fields, tags, attempts_count ON leads WHEN NEW.line IS NOT NULL
BEGIN UPDATE leads SET line = NULL WHERE id = NEW.id; END;
DROP TRIGGER leads_are_renamed;
CREATE TRIGGER leads_are_renamed AFTER UPDATE OF name_folded, external_id, fields, tags, erased_at_ms ON leads
BEGIN INSERT OR REPLACE INTO unindexed VALUES (NEW.id, NEW.version); END;
