-- What operators have to do beside the dialer's calls.
CREATE TABLE tasks (
  id            INTEGER PRIMARY KEY,
  key           TEXT    NOT NULL UNIQUE,  -- of the command that made it: carried out twice, it is there once
  type_id       TEXT    NOT NULL,
  tier          INTEGER NOT NULL CHECK (tier BETWEEN 1 AND 9),
  title         TEXT    NOT NULL,
  lead_id       INTEGER REFERENCES leads (id),
  owner         TEXT    NOT NULL,
  due_at_ms     INTEGER NOT NULL,
  state         TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done')),
  created_at_ms INTEGER NOT NULL,
  created_by    TEXT    NOT NULL,
  closed_at_ms  INTEGER,
  CHECK ((closed_at_ms IS NULL) = (state = 'open'))
) STRICT;
CREATE INDEX tasks_owner ON tasks (owner, due_at_ms, state);
CREATE INDEX tasks_lead ON tasks (lead_id) WHERE lead_id IS NOT NULL;

-- What "Next" gave each operator last, and why.
CREATE TABLE handouts (
  agent_id TEXT    PRIMARY KEY,
  task_id  INTEGER,
  lead_id  INTEGER,
  why      TEXT    NOT NULL,
  at_ms    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
