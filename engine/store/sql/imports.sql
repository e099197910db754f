-- A lead file on its way into a campaign, piece by piece. A piece is the rows of lines :first to :last; its leads, how far
-- the import is and the counts are one commit.
-- CROSS JOIN keeps the order of the tables: always from the few rows of the piece to what they touch.

-- name: begin_import
INSERT INTO imports (campaign_id, file_name, imported_by, state, started_at_ms, mode, kept, settings)
VALUES (:campaign, :file_name, :by, 'staging', :at_ms, :mode, :kept, :settings)
RETURNING id;

-- name: choose_import
-- What a person chose, as long as nothing has begun.
UPDATE imports SET campaign_id = :campaign, mode = :mode, settings = :settings WHERE id = :import_id AND state = 'staging'
RETURNING id;

-- name: start_import
-- From here on the import is carried to its end, also by the next start of the program.
UPDATE imports SET state = 'publishing', started_at_ms = :at_ms WHERE id = :import_id AND state = 'staging' RETURNING id;

-- name: keep_before
-- Of the leads that rows change: how they are now. Leads of this very file are none.
INSERT INTO import_changes (import_id, lead_id, line, before)
SELECT :import_id, l.id, changed.line, json_object('name', l.name, 'name_folded', l.name_folded,
  'external_id', l.external_id, 'zone', l.zone, 'priority', l.priority, 'fields', l.fields,
  'tags', l.tags, 'keeper', l.keeper, 'source', l.source)
FROM (
  SELECT one.key + 0 AS line, min(k.id) AS id
  FROM json_each(:numbers) place CROSS JOIN json_each(place.value) one CROSS JOIN phones p CROSS JOIN leads k
  WHERE p.number = one.value AND k.id = p.lead_id AND k.campaign_id = :campaign
    AND k.import_id IS NOT :import_id AND k.erased_at_ms IS NULL
  GROUP BY one.key + 0
) changed CROSS JOIN leads l
WHERE l.id = changed.id ORDER BY changed.line
ON CONFLICT (import_id, lead_id) DO NOTHING;

-- name: update_leads
-- What the file says; what it leaves empty stays. Tags are added; numbers are neither added nor taken away.
-- LIMIT -1 has the rows worked out first; else every lead would be gone through.
UPDATE leads SET
  name = CASE said.name WHEN '' THEN leads.name ELSE said.name END,
  name_folded = CASE said.name WHEN '' THEN leads.name_folded ELSE said.name_folded END,
  external_id = CASE said.external_id WHEN '' THEN leads.external_id ELSE said.external_id END,
  zone = coalesce(said.zone, leads.zone),
  priority = CASE said.priority WHEN 0 THEN leads.priority ELSE said.priority END,
  fields = json_patch(leads.fields, said.fields),
  tags = CASE said.tags WHEN '[]' THEN leads.tags ELSE (SELECT json_group_array(tag) FROM (
    SELECT value AS tag FROM json_each(leads.tags) UNION SELECT value FROM json_each(said.tags) ORDER BY tag LIMIT :tags_max)) END,
  keeper = coalesce(said.keeper, leads.keeper),
  source = CASE said.source WHEN '' THEN leads.source ELSE said.source END,
  updated_at_ms = :at_ms, version = version + 1
FROM (
  SELECT c.lead_id, row.value ->> 1 AS external_id, row.value ->> 2 AS name, row.value ->> 3 AS name_folded,
    row.value ->> 4 AS zone, row.value -> 5 AS fields, row.value ->> 6 AS priority, row.value -> 7 AS tags,
    row.value ->> 8 AS keeper, row.value ->> 9 AS source
  FROM json_each(:leads) row CROSS JOIN import_changes c
  WHERE c.import_id = :import_id AND c.line = row.value ->> 0
  LIMIT -1
) said
WHERE leads.id = said.lead_id;

-- name: make_leads
INSERT INTO leads (
  campaign_id, import_id, list, import_line, external_id, name, name_folded, zone, fields, priority, tags, keeper, source,
  created_at_ms, updated_at_ms
)
SELECT :campaign, :import_id, :list, row.value ->> 0, row.value ->> 1, row.value ->> 2, row.value ->> 3, row.value ->> 4,
  row.value -> 5, row.value ->> 6, row.value -> 7, row.value ->> 8, row.value ->> 9, :at_ms, :at_ms
FROM json_each(:leads) row
WHERE row.value ->> 0 NOT IN (
  SELECT one.key + 0
  FROM json_each(:numbers) place CROSS JOIN json_each(place.value) one CROSS JOIN phones p CROSS JOIN leads l
  WHERE p.number = one.value AND l.id = p.lead_id AND (:everywhere OR l.campaign_id = :campaign));

-- name: make_phones
-- A place is a position and the type, `0mobile`.
INSERT INTO phones (lead_id, position, number, type)
SELECT l.id, place.key + 0, one.value, ltrim(place.key, '0123456789')
FROM json_each(:numbers) place CROSS JOIN json_each(place.value) one CROSS JOIN leads l
WHERE l.import_id = :import_id AND l.import_line = one.key + 0;

-- name: keep_reject
INSERT INTO import_rejects (import_id, line, field, value, reason) VALUES (:import_id, :line, :field, :value, :reason)
ON CONFLICT (import_id, line, field) DO NOTHING;

-- name: list_erased_of_piece
-- Erased persons who come back with a file are known by their seals. Most installations have erased nobody.
INSERT INTO suppressions (number, list, reason, suppressed_by, at_ms)
SELECT p.number, 'system', 'erased', 'engine', :at_ms
FROM leads l CROSS JOIN phones p
WHERE EXISTS (SELECT 1 FROM erased_numbers)
  AND l.import_id = :import_id AND l.import_line BETWEEN :first AND :last AND p.lead_id = l.id
  AND sealed(p.number) IN (SELECT seal FROM erased_numbers)
ON CONFLICT (number, list) DO NOTHING;

-- name: suppress_piece
-- Whose every number is on the do-not-call list is never dialed.
UPDATE leads SET state = 'suppressed'
WHERE id IN (
    SELECT p.lead_id FROM leads l CROSS JOIN phones p CROSS JOIN suppressions s
    WHERE l.import_id = :import_id AND l.import_line BETWEEN :first AND :last AND p.lead_id = l.id AND s.number = p.number)
  AND NOT EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: piece_done
UPDATE imports SET
  through_line = :last, rows_total = max(rows_total, :rows_total),
  rows_count = rows_count + :rows, rejects_count = rejects_count + :rejects,
  leads_count = leads_count + piece.made, updated_count = updated_count + piece.changed,
  listed_count = listed_count + piece.listed,
  duplicates_count = duplicates_count + :rows - :rejects - piece.made - piece.changed
FROM (
  SELECT
    (SELECT count(*) FROM leads WHERE import_id = :import_id AND import_line BETWEEN :first AND :last) AS made,
    (SELECT count(*) FROM import_changes WHERE import_id = :import_id AND line BETWEEN :first AND :last) AS changed,
    (SELECT count(*) FROM leads INDEXED BY leads_import
     WHERE import_id = :import_id AND import_line BETWEEN :first AND :last AND state = 'suppressed') AS listed
) AS piece
WHERE id = :import_id
RETURNING cancel_asked_at_ms;

-- name: known_of
-- Of numbers: the lead that has each already, whether it must not be called, and for which partners it must not.
SELECT j.key AS place,
  (SELECT min(l.id) FROM phones p CROSS JOIN leads l
   WHERE p.number = j.value AND l.id = p.lead_id AND (:everywhere OR l.campaign_id = :campaign)) AS lead_id,
  EXISTS (SELECT 1 FROM suppressions s
   WHERE s.number = j.value AND s.list IN ('system', 'campaign:' || :campaign))
  OR (EXISTS (SELECT 1 FROM erased_numbers) AND sealed(j.value) IN (SELECT seal FROM erased_numbers)) AS listed,
  (SELECT json_group_array(s.list) FROM suppressions s WHERE s.number = j.value AND s.list LIKE 'partner:%') AS partners
FROM json_each(:numbers) j;

-- name: end_import
-- What was corrected by hand is in its leads now, and nowhere else.
UPDATE imports SET state = 'done', ended_at_ms = :at_ms, kept = '',
  settings = json_remove(settings, '$.columns.mended') WHERE id = :import_id AND state = 'publishing'
RETURNING campaign_id;

-- name: ask_to_cancel
UPDATE imports SET cancel_asked_at_ms = :at_ms, problem = :problem
WHERE id = :import_id AND ended_at_ms IS NULL AND cancel_asked_at_ms IS NULL;

-- name: cancelled
UPDATE imports SET state = 'cancelled', ended_at_ms = :at_ms, kept = '',
  settings = json_remove(settings, '$.columns.mended') WHERE id = :import_id AND ended_at_ms IS NULL;

-- name: open_imports
SELECT * FROM imports
WHERE ended_at_ms IS NULL OR (state = 'done' AND cancel_asked_at_ms IS NOT NULL AND reverted_at_ms IS NULL) ORDER BY id;

-- name: reverted
UPDATE imports SET reverted_at_ms = :at_ms WHERE id = :import_id;

-- name: import_of
SELECT * FROM imports WHERE id = :import_id;

-- name: latest_imports
SELECT * FROM imports WHERE state <> 'staging' AND NOT (state = 'cancelled' AND through_line = 0) ORDER BY id DESC LIMIT :limit;

-- name: profile_of_headings
SELECT * FROM import_profiles WHERE headings = :headings;

-- name: profile_of_name
SELECT * FROM import_profiles WHERE name = :name;

-- name: save_profile
INSERT INTO import_profiles (headings, name, settings, saved_by, used_at_ms)
VALUES (:headings, :name, :settings, :by, :at_ms)
ON CONFLICT (headings) DO UPDATE SET settings = excluded.settings, saved_by = excluded.saved_by,
  used_at_ms = excluded.used_at_ms, name = CASE excluded.name WHEN '' THEN import_profiles.name ELSE excluded.name END;

-- name: free_profile_name
UPDATE import_profiles SET name = '' WHERE name = :name AND name <> '' AND headings <> :headings;

-- name: profiles
SELECT * FROM import_profiles ORDER BY used_at_ms DESC LIMIT :limit;

-- name: rejects_of
SELECT line, field, value, reason FROM import_rejects WHERE import_id = :import_id AND line > :after ORDER BY line, field
LIMIT :limit;

-- name: begin_revert
UPDATE imports SET cancel_asked_at_ms = coalesce(cancel_asked_at_ms, :at_ms) WHERE id = :import_id 
  AND (state = 'done' OR (state = 'publishing' AND cancel_asked_at_ms IS NOT NULL))
RETURNING campaign_id, started_at_ms;

-- name: lines_of
SELECT min(import_line) AS first, max(import_line) AS last FROM leads WHERE import_id = :import_id;

-- name: put_back
-- As they were before the import, unless somebody has edited them since.
UPDATE leads SET name = c.before ->> 'name', name_folded = c.before ->> 'name_folded',
  external_id = c.before ->> 'external_id', zone = c.before ->> 'zone', priority = c.before ->> 'priority',
  fields = c.before ->> 'fields', tags = coalesce(c.before ->> 'tags', tags), source = coalesce(c.before ->> 'source', source),
  keeper = CASE WHEN json_type(c.before, '$.keeper') IS NULL THEN keeper ELSE c.before ->> 'keeper' END,
  updated_at_ms = :at_ms, version = version + 1
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
  AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.lead_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM client_orders o WHERE o.lead_id = leads.id)
  AND NOT EXISTS (SELECT 1 FROM client_order_drafts d WHERE d.lead_id = leads.id)
RETURNING id;
