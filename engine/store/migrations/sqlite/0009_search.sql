-- Words of a lead and parts of its numbers, folded as people type them; the rowid is the lead.
CREATE VIRTUAL TABLE lead_words USING fts5 (words, tokenize = 'unicode61 remove_diacritics 0', detail = none, columnsize = 0);

-- Leads whose words are not, or no longer, in the index: whatever changes a lead, it is put there.
CREATE TABLE unindexed (
  lead_id INTEGER PRIMARY KEY,
  version INTEGER NOT NULL  -- of the lead, when it was put here
) STRICT;
INSERT INTO unindexed SELECT id, version FROM leads;
CREATE TRIGGER leads_are_new AFTER INSERT ON leads
BEGIN INSERT OR REPLACE INTO unindexed VALUES (NEW.id, NEW.version); END;
CREATE TRIGGER leads_are_renamed AFTER UPDATE OF name_folded, external_id, fields, erased_at_ms ON leads
BEGIN INSERT OR REPLACE INTO unindexed VALUES (NEW.id, NEW.version); END;

DROP INDEX leads_name;
