-- The list that a lead came with: the name of its file without the ending, or what somebody called it; '' without a file.
ALTER TABLE leads ADD COLUMN list TEXT NOT NULL DEFAULT '';
UPDATE leads SET list = (
  SELECT substr(coalesce(nullif(rtrim(rtrim(i.file_name, replace(i.file_name, '.', '')), '.'), ''), i.file_name), 1, 100)
  FROM imports i WHERE i.id = leads.import_id)
WHERE import_id IS NOT NULL;
CREATE INDEX leads_list ON leads (list, id) WHERE list <> '';

-- A place in the line is made from it too.
DROP TRIGGER leads_leave_line;
CREATE TRIGGER leads_leave_line
AFTER UPDATE OF state, next_at_ms, priority, zone, fields, tags, list, attempts_count ON leads WHEN NEW.line IS NOT NULL
BEGIN UPDATE leads SET line = NULL WHERE id = NEW.id; END;
