-- What answering-machine detection said: person, machine or unsure; NULL where it was not asked.
ALTER TABLE attempts ADD COLUMN verdict TEXT;
-- Calls judged machines that agents took: they tell how often that was wrong.
CREATE INDEX attempts_checked ON attempts (campaign_id, answered_at_ms)
  WHERE verdict = 'machine' AND bridged_at_ms IS NOT NULL;
