-- A lead file on its way into a campaign: staged whole, then published piece by piece.
-- CROSS JOIN keeps the order of the tables: always from the few rows of the piece to what they touch.

-- name: begin_import
INSERT INTO imports (campaign_id, file_name, imported_by, state, started_at_ms, mode)
VALUES (:campaign, :file_name, :by, 'staging', :at_ms, :mode)
RETURNING id;

-- name: stage_row
INSERT INTO import_rows (import_id, line, name, name_folded, external_id, zone, priority, fields, phones)
VALUES (:import_id, :line, :name, :name_folded, :external_id, :zone, :priority, :fields, :phones);

-- name: stage_reject
INSERT INTO import_rejects (import_id, line, field, value, reason) VALUES (:import_id, :line, :field, :value, :reason)
ON CONFLICT (import_id, line, field) DO NOTHING;

-- name: publish_import
-- From here on the import is carried to its end, also by the next start of the program.
UPDATE imports SET state = 'publishing', rows_count = :rows, duplicates_count = :duplicates, rejects_count = :rejects
WHERE id = :import_id AND state = 'staging';

-- name: keep_before
-- Of a lead that a row of the piece will change: how it is now. Leads of this very file are none.
INSERT INTO import_changes (import_id, lead_id, line, before)
SELECT m.import_id, m.lead_id, min(m.line), json_object('name', l.name, 'name_folded', l.name_folded,
  'external_id', l.external_id, 'zone', l.zone, 'priority', l.priority, 'fields', l.fields)
FROM (
  SELECT r.import_id, r.line, (
    SELECT min(k.id) FROM json_each(r.phones) j CROSS JOIN phones p CROSS JOIN leads k
    WHERE p.number = j.value ->> 1 AND k.id = p.lead_id AND k.campaign_id = i.campaign_id
      AND k.import_id IS NOT r.import_id AND k.erased_at_ms IS NULL) AS lead_id
  FROM import_rows r JOIN imports i ON i.id = r.import_id
  WHERE r.import_id = :import_id AND i.mode IN ('update', 'both')
    AND r.line <= (SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk))
) AS m CROSS JOIN leads l
WHERE l.id = m.lead_id
GROUP BY m.lead_id
ON CONFLICT (import_id, lead_id) DO NOTHING;

-- name: update_leads
-- What the file says; what it leaves empty stays. Numbers are neither added nor taken away.
UPDATE leads SET
  name = CASE piece.name WHEN '' THEN leads.name ELSE piece.name END,
  name_folded = CASE piece.name WHEN '' THEN leads.name_folded ELSE piece.name_folded END,
  external_id = CASE piece.external_id WHEN '' THEN leads.external_id ELSE piece.external_id END,
  zone = coalesce(piece.zone, leads.zone),
  priority = CASE piece.priority WHEN 0 THEN leads.priority ELSE piece.priority END,
  fields = json_patch(leads.fields, piece.fields), updated_at_ms = :at_ms, version = version + 1
FROM (
  SELECT c.lead_id, s.* FROM import_rows s CROSS JOIN import_changes c
  WHERE s.import_id = :import_id AND c.import_id = s.import_id AND c.line = s.line
    AND s.line <= (SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk))
  LIMIT :chunk
) AS piece
WHERE leads.id = piece.lead_id;

-- name: publish_leads
INSERT INTO leads (
  campaign_id, import_id, import_line, external_id, name, name_folded, zone, fields, priority, created_at_ms, updated_at_ms
)
SELECT i.campaign_id, r.import_id, r.line, r.external_id, r.name, r.name_folded, r.zone, r.fields, r.priority, :at_ms, :at_ms
FROM import_rows r JOIN imports i ON i.id = r.import_id
WHERE r.import_id = :import_id AND i.mode <> 'update'
  AND r.line <= (SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk))
  AND NOT EXISTS (
    SELECT 1 FROM json_each(r.phones) j CROSS JOIN phones p CROSS JOIN leads l
    WHERE p.number = j.value ->> 1 AND l.id = p.lead_id AND l.campaign_id = i.campaign_id
  )
ORDER BY r.line;

-- name: publish_phones
INSERT INTO phones (lead_id, position, number, tail)
SELECT l.id, j.value ->> 0, j.value ->> 1, j.value ->> 2
FROM import_rows r CROSS JOIN leads l CROSS JOIN json_each(r.phones) j
WHERE r.import_id = :import_id AND l.import_id = r.import_id AND l.import_line = r.line
  AND r.line <= (SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk));

-- name: list_erased_of_import
-- Erased persons who come back with a file are known by their seals. Most installations have erased nobody.
INSERT INTO suppressions (number, list, reason, suppressed_by, at_ms)
SELECT p.number, 'system', 'erased', 'engine', :at_ms
FROM import_rows r CROSS JOIN leads l CROSS JOIN phones p
WHERE EXISTS (SELECT 1 FROM erased_numbers)
  AND r.import_id = :import_id AND l.import_id = r.import_id AND l.import_line = r.line AND p.lead_id = l.id
  AND r.line <= (SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk))
  AND sealed(p.number) IN (SELECT seal FROM erased_numbers)
ON CONFLICT (number, list) DO NOTHING;

-- name: suppress_published
-- Whose every number is on the do-not-call list is never dialed.
UPDATE leads SET state = 'suppressed'
WHERE import_id = :import_id AND queue_rank IS NOT NULL
  AND import_line >= (SELECT min(line) FROM import_rows WHERE import_id = :import_id)
  AND import_line <= (
    SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk))
  AND NOT EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: count_published
UPDATE imports SET
  leads_count = leads_count + (
    SELECT count(*) FROM import_rows r CROSS JOIN leads l
    WHERE r.import_id = :import_id AND l.import_id = r.import_id AND l.import_line = r.line AND r.line <= (
      SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk))),
  duplicates_count = duplicates_count + (
    SELECT count(*) FROM import_rows r LEFT JOIN leads l ON l.import_id = r.import_id AND l.import_line = r.line
    WHERE l.id IS NULL AND r.import_id = :import_id AND r.line <= (
      SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk))
      AND NOT EXISTS (SELECT 1 FROM import_changes c WHERE c.import_id = r.import_id AND c.line = r.line)),
  updated_count = (SELECT count(*) FROM import_changes c WHERE c.import_id = :import_id)
WHERE id = :import_id;

-- name: unstage
DELETE FROM import_rows
WHERE import_id = :import_id
  AND line <= (SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk));

-- name: unstage_rejects
DELETE FROM import_rejects WHERE import_id = :import_id;

-- name: still_staged
SELECT EXISTS (SELECT 1 FROM import_rows WHERE import_id = :import_id) AS staged;

-- name: end_import
UPDATE imports SET state = 'done', ended_at_ms = :at_ms WHERE id = :import_id AND state = 'publishing'
RETURNING campaign_id;

-- name: cancel_import
UPDATE imports SET state = 'cancelled', ended_at_ms = :at_ms WHERE id = :import_id AND state = 'staging';

-- name: unfinished_imports
SELECT id, state FROM imports
WHERE state = 'publishing' OR (state = 'staging' AND started_at_ms < :stale_before_ms) ORDER BY id;

-- name: import_of
SELECT * FROM imports WHERE id = :import_id;

-- name: imports_of_campaign
SELECT * FROM imports WHERE campaign_id = :campaign ORDER BY id DESC LIMIT :limit;

-- name: rejects_of
SELECT line, field, value, reason FROM import_rejects WHERE import_id = :import_id AND line > :after ORDER BY line, field
LIMIT :limit;

-- name: latest_imports
SELECT * FROM imports WHERE state = 'done' ORDER BY id DESC LIMIT :limit;

-- name: begin_revert
UPDATE imports SET reverted_at_ms = :at_ms WHERE id = :import_id AND state = 'done' RETURNING campaign_id, ended_at_ms;

-- name: lines_of
SELECT min(import_line) AS first, max(import_line) AS last FROM leads WHERE import_id = :import_id;

-- name: put_back
-- As they were before the import, unless somebody has edited them since.
UPDATE leads SET name = c.before ->> 'name', name_folded = c.before ->> 'name_folded',
  external_id = c.before ->> 'external_id', zone = c.before ->> 'zone', priority = c.before ->> 'priority',
  fields = c.before ->> 'fields', updated_at_ms = :at_ms, version = version + 1
FROM import_changes c
WHERE c.import_id = :import_id AND leads.id = c.lead_id AND leads.erased_at_ms IS NULL
  AND c.lead_id IN (SELECT lead_id FROM import_changes WHERE import_id = :import_id ORDER BY lead_id LIMIT :chunk)
  AND NOT EXISTS (SELECT 1 FROM lead_edits e WHERE e.lead_id = leads.id AND e.at_ms >= :imported_at_ms);

-- name: changes_put_back
DELETE FROM import_changes WHERE import_id = :import_id
  AND lead_id IN (SELECT lead_id FROM import_changes WHERE import_id = :import_id ORDER BY lead_id LIMIT :chunk)
RETURNING lead_id;

-- name: close_imported
UPDATE leads SET state = 'closed', hold = 'import_reverted', updated_at_ms = :at_ms, version = version + 1
WHERE import_id = :import_id AND import_line >= :first AND import_line <= :last
  AND state IN ('new', 'retry', 'callback', 'suppressed');

-- name: cancel_callbacks_of_imported
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = :by
WHERE closed_at_ms IS NULL AND lead_id IN (
  SELECT id FROM leads WHERE import_id = :import_id AND import_line >= :first AND import_line <= :last
    AND hold = 'import_reverted');

-- name: forget_numbers_of_imported
-- The mended file may bring them again.
DELETE FROM phones WHERE lead_id IN (
  SELECT l.id FROM leads l WHERE l.import_id = :import_id AND l.import_line >= :first AND l.import_line <= :last
    AND l.hold = 'import_reverted' AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = l.id));

-- name: forget_words_of_imported
DELETE FROM lead_words WHERE rowid IN (
  SELECT l.id FROM leads l WHERE l.import_id = :import_id AND l.import_line >= :first AND l.import_line <= :last
    AND l.hold = 'import_reverted' AND NOT EXISTS (SELECT 1 FROM phones p WHERE p.lead_id = l.id));

-- name: forget_imported
DELETE FROM leads
WHERE import_id = :import_id AND import_line >= :first AND import_line <= :last
  AND state = 'closed' AND hold = 'import_reverted'
  AND NOT EXISTS (SELECT 1 FROM phones p WHERE p.lead_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM callbacks b WHERE b.lead_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM lead_edits e WHERE e.lead_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM lead_merges m WHERE m.kept_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM lead_merges m WHERE m.merged_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM import_changes c WHERE c.lead_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM intake i WHERE i.lead_id = leads.id)
RETURNING id;
