-- The engine that ended it: which were ended last cannot be read from times, for a system clock may be set back between
-- two engines.
ALTER TABLE recordings ADD COLUMN ended_in INTEGER REFERENCES epochs (epoch);
UPDATE recordings SET ended_in = (SELECT max(epoch) FROM epochs) WHERE ended_at_ms IS NOT NULL;
CREATE INDEX recordings_ended ON recordings (ended_in, ended_at_ms) WHERE ended_in IS NOT NULL;
