-- A lead file on its way into a campaign: staged whole, then published piece by piece.
-- CROSS JOIN keeps the order of the tables: always from the few rows of the piece to what they touch.

-- name: begin_import
INSERT INTO imports (campaign_id, file_name, imported_by, state, started_at_ms)
VALUES (:campaign, :file_name, :by, 'staging', :at_ms)
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

-- name: publish_leads
INSERT INTO leads (
  campaign_id, import_id, import_line, external_id, name, name_folded, zone, fields, priority, created_at_ms, updated_at_ms
)
SELECT i.campaign_id, r.import_id, r.line, r.external_id, r.name, r.name_folded, r.zone, r.fields, r.priority, :at_ms, :at_ms
FROM import_rows r JOIN imports i ON i.id = r.import_id
WHERE r.import_id = :import_id
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
      SELECT max(line) FROM (SELECT line FROM import_rows WHERE import_id = :import_id ORDER BY line LIMIT :chunk)))
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
UPDATE imports SET state = 'done', ended_at_ms = :at_ms WHERE id = :import_id AND state = 'publishing';

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
