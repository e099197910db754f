-- The index of words: filled behind the leads, asked by the pages.

-- name: leads_to_index
SELECT u.lead_id, u.version, l.name_folded, l.external_id, l.tags, l.fields, l.erased_at_ms,
  (SELECT json_group_array(p.number) FROM phones p WHERE p.lead_id = u.lead_id) AS numbers
FROM unindexed u JOIN leads l ON l.id = u.lead_id
ORDER BY u.lead_id DESC LIMIT :limit;

-- name: forget_words
DELETE FROM lead_words WHERE rowid = :lead;

-- name: index_words
INSERT INTO lead_words (rowid, words) VALUES (:lead, :words);

-- name: is_indexed
DELETE FROM unindexed WHERE lead_id = :lead AND version = :version;

-- name: leads_by_words
SELECT l.*, '' AS rule, NULL AS promised_at_ms,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable, p.type)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones
FROM lead_words w CROSS JOIN leads l
WHERE w.lead_words MATCH :query AND w.rowid > :after AND l.id = w.rowid AND instr(w.words, :part) > 0
  AND (:campaigns IS NULL OR l.campaign_id IN (SELECT value FROM json_each(:campaigns)))
  AND (:state IS NULL OR l.state = :state)
  AND (:keeper IS NULL OR l.keeper = :keeper) AND (:list IS NULL OR l.list = :list)
  AND (:tag IS NULL OR EXISTS (SELECT 1 FROM lead_tags t WHERE t.tag = :tag AND t.lead_id = l.id))
ORDER BY w.rowid LIMIT :limit;
