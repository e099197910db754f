-- Who may send leads; of a token only the hash is known here.
CREATE TABLE partners (
  key           TEXT    PRIMARY KEY,
  campaign_id   TEXT    NOT NULL,
  token_hash    TEXT    NOT NULL UNIQUE,
  added_by      TEXT    NOT NULL,
  added_at_ms   INTEGER NOT NULL,
  revoked_at_ms INTEGER
) STRICT;

-- Every lead that a partner sent, and what was answered: the same key again gets the same answer.
CREATE TABLE intake (
  partner TEXT    NOT NULL REFERENCES partners (key),
  key     TEXT    NOT NULL,  -- the partner's own, once for ever
  request TEXT    NOT NULL,  -- hash of what was sent
  at_ms   INTEGER NOT NULL,
  lead_id INTEGER REFERENCES leads (id),  -- the new one, or the one that was there
  verdict TEXT    NOT NULL CHECK (verdict IN ('accepted', 'duplicate', 'rejected')),
  reason  TEXT    NOT NULL,
  field   TEXT    NOT NULL,
  PRIMARY KEY (partner, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX intake_at ON intake (partner, at_ms);
