-- What each campaign's pacer has learned of answers, talks and wrap-ups; counts are never here, they are recounted.
CREATE TABLE pacing (
  campaign_id TEXT    PRIMARY KEY,
  learned     TEXT    NOT NULL,  -- JSON
  at_ms       INTEGER NOT NULL
) STRICT;

-- Live answers and abandons of a legal period, by the minute.
CREATE INDEX attempts_answered ON attempts (campaign_id, answered_at_ms, outcome) WHERE answered_at_ms IS NOT NULL;
