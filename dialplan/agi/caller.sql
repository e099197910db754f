-- name: caller_by_number
-- The exact number first; then the same last digits, for carriers that leave out the country. Open leads before closed
-- ones, the newest before older ones. `digits_back` are the digits backwards; `~` sorts after every digit.
SELECT l.id, l.campaign_id, l.name, l.owner
FROM phones p JOIN leads l ON l.id = p.lead_id
WHERE p.tail >= :digits_back AND p.tail < :digits_back || '~'
ORDER BY p.number = '+' || :digits DESC, l.state IN ('closed', 'suppressed'), l.updated_at_ms DESC, l.id DESC
LIMIT 1;
