-- Which promised calls were kept.
CREATE INDEX callbacks_promised ON callbacks (campaign_id, promised_at_ms);
-- By which rules, with which numbers and of which packs' versions the call was allowed when it was placed.
ALTER TABLE attempts ADD COLUMN decision TEXT NOT NULL DEFAULT '';
