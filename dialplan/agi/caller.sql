-- name: caller_by_number
-- Open leads before closed ones, the newest before older ones.
SELECT l.id, l.campaign_id, l.name, l.owner
FROM phones p JOIN leads l ON l.id = p.lead_id
WHERE p.number = :number
ORDER BY l.state IN ('closed', 'suppressed'), l.updated_at_ms DESC, l.id DESC
LIMIT 1;
