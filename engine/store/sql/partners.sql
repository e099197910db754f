-- Partners and the leads that they send, one at a time.

-- name: add_partner
INSERT INTO partners (key, campaign_id, token_hash, added_by, added_at_ms)
VALUES (:key, :campaign, :token_hash, :by, :at_ms)
ON CONFLICT (key) DO UPDATE SET campaign_id = excluded.campaign_id, token_hash = excluded.token_hash,
  added_by = excluded.added_by, added_at_ms = excluded.added_at_ms, revoked_at_ms = NULL
WHERE partners.revoked_at_ms IS NOT NULL
RETURNING key;

-- name: revoke_partner
UPDATE partners SET revoked_at_ms = :at_ms WHERE key = :key AND revoked_at_ms IS NULL RETURNING key;

-- name: partners
SELECT partners.*, (SELECT count(*) FROM intake i WHERE i.partner = partners.key) AS sent,
  (SELECT count(*) FROM intake i WHERE i.partner = partners.key AND i.verdict = 'accepted') AS accepted
FROM partners ORDER BY key;

-- name: partner_of_token
SELECT key, campaign_id FROM partners WHERE token_hash = :token_hash AND revoked_at_ms IS NULL;

-- name: answered
SELECT request, lead_id, verdict, reason, field FROM intake WHERE partner = :partner AND key = :key;

-- name: unwanted_numbers
-- Of these, those that must not be called for this campaign and partner, or that an erased person had.
SELECT j.value AS number FROM json_each(:numbers) j
WHERE EXISTS (SELECT 1 FROM suppressions s WHERE s.number = j.value
              AND s.list IN ('system', 'campaign:' || :campaign, 'partner:' || :partner))
   OR EXISTS (SELECT 1 FROM erased_numbers e WHERE e.seal = sealed(j.value));

-- name: known_lead
SELECT l.id FROM json_each(:numbers) j CROSS JOIN phones p CROSS JOIN leads l
WHERE p.number = j.value AND l.id = p.lead_id AND l.campaign_id = :campaign
ORDER BY l.id LIMIT 1;

-- name: take_lead
-- Asked again while writing: another request, or a file, may have brought the same person or key meanwhile.
INSERT INTO leads (
  campaign_id, source, list, external_id, name, name_folded, zone, fields, priority, tags, created_at_ms, updated_at_ms
)
SELECT :campaign, :partner, :list, :external_id, :name, :name_folded, :zone, :fields, :priority, :tags, :at_ms, :at_ms
WHERE NOT EXISTS (SELECT 1 FROM intake i WHERE i.partner = :partner AND i.key = :key)
  AND NOT EXISTS (
    SELECT 1 FROM json_each(:numbers) j CROSS JOIN phones p CROSS JOIN leads l
    WHERE p.number = j.value AND l.id = p.lead_id AND l.campaign_id = :campaign
  )
RETURNING id;

-- name: take_phones
INSERT INTO phones (lead_id, position, number, type)
SELECT last_insert_rowid(), j.key, j.value ->> 0, j.value ->> 1 FROM json_each(:phones) j WHERE changes() > 0;

-- name: answer_accepted
INSERT INTO intake (partner, key, request, at_ms, lead_id, verdict, reason, field)
SELECT :partner, :key, :request, :at_ms, p.lead_id, 'accepted', '', ''
FROM phones p JOIN leads l ON l.id = p.lead_id
WHERE p.number = :number AND l.campaign_id = :campaign AND l.source = :partner AND l.created_at_ms = :at_ms AND changes() > 0
ORDER BY l.id DESC LIMIT 1
ON CONFLICT (partner, key) DO NOTHING;

-- name: answer_otherwise
INSERT INTO intake (partner, key, request, at_ms, lead_id, verdict, reason, field)
VALUES (:partner, :key, :request, :at_ms, :lead, :verdict, :reason, :field)
ON CONFLICT (partner, key) DO NOTHING;
