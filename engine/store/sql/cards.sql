-- What people change on a lead's card.

-- name: edit_name
UPDATE leads SET name = :after, name_folded = :folded, version = version + 1, updated_at_ms = :at_ms
WHERE id = :lead AND name = :before
RETURNING id;

-- name: edit_zone
UPDATE leads SET zone = nullif(:after, ''), version = version + 1, updated_at_ms = :at_ms
WHERE id = :lead AND coalesce(zone, '') = :before
RETURNING id;

-- name: edit_field
UPDATE leads SET fields = json_set(fields, :path, :after), version = version + 1, updated_at_ms = :at_ms
WHERE id = :lead AND coalesce(json_extract(fields, :path), '') = :before
RETURNING id;

-- name: edit_tags
UPDATE leads SET tags = :after, version = version + 1, updated_at_ms = :at_ms
WHERE id = :lead AND tags = :before
RETURNING id;

-- name: edit_keeper
UPDATE leads SET keeper = nullif(:after, ''), version = version + 1, updated_at_ms = :at_ms
WHERE id = :lead AND coalesce(keeper, '') = :before
RETURNING id;

-- name: note_edit
-- Only after an edit that found the value as its author had seen it.
INSERT INTO lead_edits (lead_id, field, before, after, login, at_ms)
SELECT :lead, :field, :before, :after, :login, :at_ms WHERE changes() = 1;

-- name: last_edit
SELECT lead_id, field, before, after, login, at_ms FROM lead_edits
WHERE lead_id = :lead AND field = :field ORDER BY id DESC LIMIT 1;

-- name: edits
SELECT lead_id, field, before, after, login, at_ms FROM lead_edits
WHERE lead_id = :lead ORDER BY id DESC LIMIT :limit;

-- name: twins
-- Other leads with a number of this one.
SELECT DISTINCT q.lead_id AS id FROM phones p JOIN phones q ON q.number = p.number AND q.lead_id <> p.lead_id
JOIN leads l ON l.id = q.lead_id
WHERE p.lead_id = :lead
  AND q.lead_id NOT IN (SELECT m.merged_id FROM lead_merges m WHERE m.undone_at_ms IS NULL)
  AND (:campaigns IS NULL OR l.campaign_id IN (SELECT value FROM json_each(:campaigns)))
ORDER BY q.lead_id LIMIT :limit;

-- name: merge_fields
-- Empty values of the kept lead are filled from the other one; what both have stays, but for what is taken by name.
-- It has the tags of both.
UPDATE leads SET
  fields = json_patch((SELECT o.fields FROM leads o WHERE o.id = :merged),
    (SELECT coalesce(json_group_object(j.key, j.value), '{}') FROM json_each(leads.fields) j WHERE j.value <> '' AND j.key NOT IN (SELECT t.value FROM json_each(:taken) t))),
  name = CASE WHEN name = '' OR :name_taken THEN (SELECT o.name FROM leads o WHERE o.id = :merged) ELSE name END,
  name_folded = CASE WHEN name = '' OR :name_taken THEN (SELECT o.name_folded FROM leads o WHERE o.id = :merged) ELSE name_folded END,
  tags = (SELECT json_group_array(tag) FROM (
    SELECT DISTINCT j.value AS tag FROM leads o CROSS JOIN json_each(o.tags) j WHERE o.id IN (:kept, :merged) ORDER BY tag LIMIT :tags_max)),
  keeper = coalesce(keeper, (SELECT o.keeper FROM leads o WHERE o.id = :merged)),
  version = version + 1, updated_at_ms = :at_ms
WHERE id = :kept;

-- name: merge_phones
INSERT INTO phones (lead_id, position, number, valid, type)
SELECT :kept, (SELECT max(p.position) FROM phones p WHERE p.lead_id = :kept) + row_number() OVER (ORDER BY o.position),
       o.number, o.valid, o.type
FROM phones o
WHERE o.lead_id = :merged AND o.number NOT IN (SELECT p.number FROM phones p WHERE p.lead_id = :kept);

-- name: leave_line_of
-- Other numbers may leave other zones.
UPDATE leads SET line = NULL WHERE id = :lead AND line IS NOT NULL;

-- name: close_merged
UPDATE leads SET state = 'closed', hold = :rule, version = version + 1, updated_at_ms = :at_ms
WHERE id = :merged AND state IN ('new', 'retry', 'callback', 'closed');

-- name: move_callback
-- A promise is kept, whoever's card it stood on; of two, the kept lead's.
UPDATE callbacks SET lead_id = :kept, campaign_id = (SELECT campaign_id FROM leads WHERE id = :kept)
WHERE lead_id = :merged AND closed_at_ms IS NULL
  AND NOT EXISTS (SELECT 1 FROM callbacks b WHERE b.lead_id = :kept AND b.closed_at_ms IS NULL);

-- name: wait_for_callback
-- The kept lead is called when the other one would have been.
UPDATE leads SET state = 'callback',
  (next_at_ms, owner, hold) = (SELECT o.next_at_ms, o.owner, o.hold FROM leads o WHERE o.id = :merged),
  version = version + 1, updated_at_ms = :at_ms
WHERE id = :kept AND state <> 'callback'
  AND EXISTS (SELECT 1 FROM callbacks b WHERE b.lead_id = :kept AND b.closed_at_ms IS NULL);

-- name: cancel_callback
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = :rule
WHERE lead_id = :merged AND closed_at_ms IS NULL;

-- name: move_tasks
-- What is still to be done is done on the card that stays.
UPDATE tasks SET lead_id = :kept WHERE lead_id = :merged AND state = 'open';

-- name: move_orders
UPDATE client_orders SET lead_id = :kept WHERE lead_id = :merged;

-- name: put_back_orders
UPDATE client_orders SET lead_id = :merged WHERE lead_id = :kept AND id IN (SELECT value FROM json_each(:orders));

-- name: note_merge
INSERT INTO lead_merges (kept_id, merged_id, before, login, at_ms) VALUES (:kept, :merged, :before, :login, :at_ms)
RETURNING id;

-- name: how_it_was
SELECT id, name, name_folded, fields, tags, keeper, state, next_at_ms, owner, hold, version,
  (SELECT b.id FROM callbacks b WHERE b.lead_id = leads.id AND b.closed_at_ms IS NULL) AS promise,
  (SELECT json_group_array(p.position) FROM phones p WHERE p.lead_id = leads.id) AS positions,
  (SELECT json_group_array(o.id) FROM client_orders o WHERE o.lead_id = leads.id) AS orders
FROM leads WHERE id IN (:kept, :merged);

-- name: merges
SELECT id, kept_id, merged_id, before, login, at_ms FROM lead_merges
WHERE (kept_id = :lead OR merged_id = :lead) AND undone_at_ms IS NULL AND before <> '{}' ORDER BY id DESC LIMIT :limit;

-- name: put_back_card
UPDATE leads SET name = :name, name_folded = :name_folded, fields = :fields, tags = coalesce(:tags, tags),
  keeper = CASE WHEN :tags IS NULL THEN keeper ELSE :keeper END,
  version = version + 1, updated_at_ms = :at_ms
WHERE id = :lead;

-- name: put_back_callback
-- Unless it was kept, or is being kept, meanwhile.
UPDATE callbacks SET lead_id = :merged, campaign_id = (SELECT campaign_id FROM leads WHERE id = :merged),
  state = 'scheduled', closed_at_ms = NULL, closed_by = ''
WHERE id = :promise AND (
  closed_by = :rule
  OR closed_at_ms IS NULL AND lead_id = :kept AND (SELECT state FROM leads WHERE id = :kept) = 'callback');

-- name: put_back_kept
-- It waited for a callback that has left it.
UPDATE leads SET state = :state, next_at_ms = :next_at_ms, owner = :owner, hold = :hold,
  version = version + 1, updated_at_ms = :at_ms
WHERE id = :lead AND state = 'callback'
  AND NOT EXISTS (SELECT 1 FROM callbacks b WHERE b.lead_id = :lead AND b.closed_at_ms IS NULL);

-- name: put_back_state
-- Who was called back on the other card meanwhile stays closed.
UPDATE leads SET state = :state, next_at_ms = :next_at_ms, hold = :hold, version = version + 1, updated_at_ms = :at_ms
WHERE id = :lead AND state = 'closed' AND (
  :state <> 'callback' OR EXISTS (SELECT 1 FROM callbacks b WHERE b.lead_id = :lead AND b.closed_at_ms IS NULL));

-- name: put_back_phones
DELETE FROM phones WHERE lead_id = :lead AND position > :last
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = :lead AND a.phone_position = phones.position);

-- name: end_merge
UPDATE lead_merges SET undone_at_ms = :at_ms WHERE id = :id AND undone_at_ms IS NULL
RETURNING id;
