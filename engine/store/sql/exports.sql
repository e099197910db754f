-- Leads for a file, page by page; the walk is meant.

-- name: leads_page
SELECT l.id, l.campaign_id, l.name, l.external_id, l.zone, l.fields, l.priority, l.state, l.source, l.list, l.tags, l.keeper,
  l.attempts_count, l.created_at_ms,
  (SELECT json_group_array(json_array(p.number, p.type))
   FROM (SELECT number, type FROM phones WHERE lead_id = l.id ORDER BY position) p) AS phones,
  (SELECT a.outcome FROM attempts a WHERE a.lead_id = l.id AND a.outcome IS NOT NULL
   ORDER BY a.planned_at_ms DESC LIMIT 1) AS outcome,
  c.disposition_id, c.disposed_at_ms, c.note, c.agent_id
FROM leads l
LEFT JOIN calls c ON c.attempt_id = (
  SELECT d.attempt_id FROM calls d WHERE d.lead_id = l.id AND d.disposition_id IS NOT NULL
  ORDER BY d.bridged_at_ms DESC LIMIT 1)
WHERE l.id > :after AND l.erased_at_ms IS NULL
  AND (:campaign IS NULL OR l.campaign_id = :campaign)
  AND (:state IS NULL OR l.state = :state)
  AND (:source IS NULL OR l.source = :source)
  AND (:list IS NULL OR l.list = :list)
  AND (:tag IS NULL OR EXISTS (SELECT 1 FROM lead_tags t WHERE t.tag = :tag AND t.lead_id = l.id))
  AND (:keeper IS NULL OR l.keeper = :keeper)
  AND (:disposition IS NULL OR c.disposition_id = :disposition)
  AND (:since_ms IS NULL OR c.disposed_at_ms >= :since_ms)
  AND (:until_ms IS NULL OR c.disposed_at_ms < :until_ms)
ORDER BY l.id LIMIT :limit;

-- name: field_names
SELECT DISTINCT j.key FROM leads l CROSS JOIN json_each(l.fields) j
WHERE l.erased_at_ms IS NULL AND (:campaign IS NULL OR l.campaign_id = :campaign) LIMIT :limit;
