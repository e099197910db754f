-- Where a lead without a zone of its own may be, by its numbers: names of zones with a blank between, several of them.
CREATE TABLE zone_sets (
  id    INTEGER PRIMARY KEY,
  zones TEXT    NOT NULL UNIQUE
) STRICT;

-- In which zone a lead stands in line: its own, else the one that its numbers leave, else `#` and the id of several.
ALTER TABLE leads ADD COLUMN line_zone TEXT NOT NULL DEFAULT '';
DROP INDEX leads_line;
UPDATE leads SET line = NULL WHERE line IS NOT NULL AND zone IS NULL;
UPDATE leads SET line_zone = zone WHERE line IS NOT NULL;
CREATE INDEX leads_line ON leads (campaign_id, line_zone, line, id) WHERE line IS NOT NULL;
