-- Numbers outside that a customer was handed on to: each row is there before the switch may dial.
CREATE TABLE hand_outs (
  attempt_id TEXT    NOT NULL REFERENCES attempts (id),
  at_ms      INTEGER NOT NULL,
  agent_id   TEXT    NOT NULL,
  number     TEXT    NOT NULL,
  trunk_id   TEXT    NOT NULL,
  PRIMARY KEY (attempt_id, at_ms)
) STRICT, WITHOUT ROWID;
