-- Where a number rings; '' is not said.
ALTER TABLE phones ADD COLUMN type TEXT NOT NULL DEFAULT '' CHECK (type IN ('', 'mobile', 'work', 'home', 'other'));
DROP VIEW lead_phones;
CREATE VIEW lead_phones AS
SELECT p.lead_id, p.position, p.number, p.valid, p.type,
  p.valid AND NOT EXISTS (
    SELECT 1 FROM suppressions s
    WHERE s.number = p.number AND s.list IN ('system', 'campaign:' || l.campaign_id, 'partner:' || l.source)
  ) AS usable
FROM phones p JOIN leads l ON l.id = p.lead_id;
