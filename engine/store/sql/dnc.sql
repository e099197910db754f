-- The do-not-call lists: whole transactions put numbers on them, so that number, leads and callbacks agree at once.

-- name: list_numbers
INSERT INTO suppressions (number, list, reason, suppressed_by, at_ms)
SELECT value, :list, :reason, :by, :at_ms FROM json_each(:numbers) WHERE true
ON CONFLICT (number, list) DO NOTHING
RETURNING number;

-- name: suppress_leads
-- Who has no other number to be called on.
UPDATE leads SET state = 'suppressed', updated_at_ms = :at_ms, version = version + 1
WHERE queue_rank IS NOT NULL
  AND id IN (SELECT lead_id FROM phones WHERE number IN (SELECT value FROM json_each(:numbers)))
  AND NOT EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: cancel_callbacks
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = :by
WHERE closed_at_ms IS NULL
  AND lead_id IN (SELECT lead_id FROM phones WHERE number IN (SELECT value FROM json_each(:numbers)))
  AND lead_id IN (SELECT l.id FROM leads l WHERE l.id = callbacks.lead_id AND l.state = 'suppressed');

-- name: unlist_number
DELETE FROM suppressions WHERE number = :number AND list = :list RETURNING number;

-- name: reopen_leads
UPDATE leads SET state = CASE WHEN attempts_count > 0 THEN 'retry' ELSE 'new' END, next_at_ms = :at_ms,
  updated_at_ms = :at_ms, version = version + 1
WHERE state = 'suppressed' AND erased_at_ms IS NULL
  AND id IN (SELECT lead_id FROM phones WHERE number = :number)
  AND EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: newest_entries
SELECT * FROM suppressions WHERE at_ms <= :until_ms ORDER BY at_ms DESC, number DESC LIMIT :limit;

-- name: entries_of_number
SELECT * FROM suppressions WHERE number >= :first AND number < :first || '~' ORDER BY number, list LIMIT :limit;

-- name: entries_page
SELECT * FROM suppressions WHERE (number, list) > (:number, :list) ORDER BY number, list LIMIT :limit;

-- name: lead_to_erase
SELECT l.erased_at_ms, EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = l.id AND a.ended_at_ms IS NULL) AS live
FROM leads l WHERE l.id = :lead;

-- name: seal_numbers
INSERT INTO erased_numbers (seal, at_ms)
SELECT sealed(number), :at_ms FROM phones WHERE lead_id = :lead AND sealed(number) IS NOT NULL
ON CONFLICT (seal) DO NOTHING;

-- name: seal_called_numbers
INSERT INTO erased_numbers (seal, at_ms)
SELECT sealed(number), :at_ms FROM attempts
WHERE lead_id = :lead AND sealed(number) IS NOT NULL
ON CONFLICT (seal) DO NOTHING;

-- name: list_shared_numbers
-- Other leads have the number too: there it must be read to be left out.
INSERT INTO suppressions (number, list, reason, suppressed_by, at_ms)
SELECT p.number, 'system', 'erased', :by, :at_ms FROM phones p
WHERE p.lead_id = :lead AND EXISTS (SELECT 1 FROM phones q WHERE q.number = p.number AND q.lead_id <> p.lead_id)
ON CONFLICT (number, list) DO NOTHING;

-- name: unlist_own_numbers
DELETE FROM suppressions WHERE number IN (
  SELECT p.number FROM phones p
  WHERE p.lead_id = :lead AND NOT EXISTS (SELECT 1 FROM phones q WHERE q.number = p.number AND q.lead_id <> p.lead_id));

-- name: forget_person
UPDATE leads SET state = 'suppressed', name = '', name_folded = '', external_id = '', fields = '{}', owner = NULL,
  tags = '[]', keeper = NULL, erased_at_ms = :at_ms, updated_at_ms = :at_ms, version = version + 1
WHERE id = :lead;

-- name: forget_numbers
DELETE FROM phones WHERE lead_id = :lead;

-- name: forget_called_numbers
-- A number that nobody has, and another one for each person: their attempts stay comparable.
UPDATE attempts SET number = printf('+000%09d', lead_id) WHERE lead_id = :lead;

-- name: forget_hand_outs
UPDATE hand_outs SET number = '' WHERE attempt_id IN (SELECT id FROM attempts WHERE lead_id = :lead);

-- name: forget_notes
UPDATE calls SET note = '' WHERE lead_id = :lead;

-- name: forget_said
UPDATE dispositions SET note = '' WHERE attempt_id IN (SELECT id FROM attempts WHERE lead_id = :lead);

-- name: forget_import_changes
DELETE FROM import_changes WHERE lead_id = :lead;

-- name: forget_drafts
DELETE FROM drafts WHERE attempt_id IN (SELECT id FROM attempts WHERE lead_id = :lead);

-- name: forget_edits
DELETE FROM lead_edits WHERE lead_id = :lead;

-- name: forget_merges
-- How the cards were before goes; that they were merged stays.
UPDATE lead_merges SET before = '{}' WHERE kept_id = :lead OR merged_id = :lead;

-- name: forget_tasks
DELETE FROM tasks WHERE lead_id = :lead;

-- name: forget_order_versions
DELETE FROM client_order_versions WHERE order_id IN (SELECT id FROM client_orders WHERE lead_id = :lead);

-- name: forget_orders
DELETE FROM client_orders WHERE lead_id = :lead;

-- name: forget_order_drafts
DELETE FROM client_order_drafts WHERE lead_id = :lead;

-- name: forget_callbacks
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = :by
WHERE lead_id = :lead AND closed_at_ms IS NULL;
