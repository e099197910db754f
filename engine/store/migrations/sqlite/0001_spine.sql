-- Times are integer milliseconds UTC, booleans are 0 or 1, ids of things that config.yaml names are its keys.

-- One row per start of an engine; attempt and leg ids begin with it, so they are unique for ever.
CREATE TABLE epochs (
  epoch         INTEGER PRIMARY KEY,
  started_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE campaign_runs (
  campaign_id TEXT    PRIMARY KEY,
  running     INTEGER NOT NULL CHECK (running IN (0, 1)),
  since_ms    INTEGER NOT NULL
) STRICT;

-- ── leads ───────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TABLE imports (
  id               INTEGER PRIMARY KEY,
  campaign_id      TEXT    NOT NULL,
  file_name        TEXT    NOT NULL,
  imported_by      TEXT    NOT NULL,
  state            TEXT    NOT NULL CHECK (state IN ('staging', 'publishing', 'done', 'cancelled')),
  started_at_ms    INTEGER NOT NULL,
  ended_at_ms      INTEGER,
  rows_count       INTEGER NOT NULL DEFAULT 0,
  leads_count      INTEGER NOT NULL DEFAULT 0,
  duplicates_count INTEGER NOT NULL DEFAULT 0,
  rejects_count    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Rows wait here until the whole file is read: nothing of it is seen before.
CREATE TABLE import_rows (
  import_id   INTEGER NOT NULL REFERENCES imports (id),
  line        INTEGER NOT NULL,
  name        TEXT    NOT NULL,
  name_folded TEXT    NOT NULL,
  external_id TEXT    NOT NULL,
  zone        TEXT,
  priority    INTEGER NOT NULL,
  fields      TEXT    NOT NULL,
  phones      TEXT    NOT NULL,  -- JSON: [[position, number, tail], …]
  PRIMARY KEY (import_id, line)
) STRICT, WITHOUT ROWID;

CREATE TABLE import_rejects (
  import_id INTEGER NOT NULL REFERENCES imports (id),
  line      INTEGER NOT NULL,
  field     TEXT    NOT NULL,
  value     TEXT    NOT NULL,
  reason    TEXT    NOT NULL,
  PRIMARY KEY (import_id, line, field)
) STRICT, WITHOUT ROWID;

CREATE TABLE leads (
  id             INTEGER PRIMARY KEY,
  campaign_id    TEXT    NOT NULL,
  import_id      INTEGER REFERENCES imports (id),
  import_line    INTEGER,
  external_id    TEXT    NOT NULL DEFAULT '',
  name           TEXT    NOT NULL DEFAULT '',
  name_folded    TEXT    NOT NULL DEFAULT '',
  zone           TEXT,
  fields         TEXT    NOT NULL DEFAULT '{}',  -- JSON: the file's other columns
  priority       INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -50 AND 50),
  state          TEXT    NOT NULL DEFAULT 'new'
    CHECK (state IN ('new', 'retry', 'callback', 'dialing', 'in_call', 'closed', 'suppressed')),
  next_at_ms     INTEGER NOT NULL DEFAULT 0,
  next_phone     INTEGER NOT NULL DEFAULT 0,
  owner          TEXT,
  attempts_count INTEGER NOT NULL DEFAULT 0,
  version        INTEGER NOT NULL DEFAULT 0,
  created_at_ms  INTEGER NOT NULL,
  updated_at_ms  INTEGER NOT NULL,
  -- The order of dialing as one number, so that an index holds it: callbacks first, then higher priorities.
  queue_rank     INTEGER GENERATED ALWAYS AS (
    CASE WHEN state = 'callback' THEN -1000 WHEN state IN ('new', 'retry') THEN -priority END
  ) VIRTUAL
) STRICT;
CREATE INDEX leads_queue ON leads (campaign_id, queue_rank, next_at_ms, id) WHERE queue_rank IS NOT NULL;
CREATE INDEX leads_state ON leads (campaign_id, state, id);
CREATE INDEX leads_name ON leads (name_folded);
CREATE UNIQUE INDEX leads_import ON leads (import_id, import_line) WHERE import_id IS NOT NULL;

CREATE TABLE phones (
  lead_id  INTEGER NOT NULL REFERENCES leads (id),
  position INTEGER NOT NULL CHECK (position >= 0),
  number   TEXT    NOT NULL,
  tail     TEXT    NOT NULL,  -- the digits backwards: people search by the last ones
  valid    INTEGER NOT NULL DEFAULT 1 CHECK (valid IN (0, 1)),
  PRIMARY KEY (lead_id, position),
  UNIQUE (lead_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX phones_number ON phones (number);
CREATE INDEX phones_tail ON phones (tail);

-- Never dialed again, whoever's lead it is.
CREATE TABLE suppressions (
  number        TEXT    PRIMARY KEY,
  reason        TEXT    NOT NULL,
  suppressed_by TEXT    NOT NULL,
  at_ms         INTEGER NOT NULL
) STRICT;

-- ── attempts and conversations ──────────────────────────────────────────────────────────────────────────────────

CREATE TABLE attempts (
  id             TEXT    PRIMARY KEY,
  campaign_id    TEXT    NOT NULL,
  lead_id        INTEGER NOT NULL REFERENCES leads (id),
  phone_position INTEGER NOT NULL,
  number         TEXT    NOT NULL,
  trunk_id       TEXT    NOT NULL,
  leg            TEXT    NOT NULL UNIQUE,
  state          TEXT    NOT NULL,
  planned_at_ms  INTEGER NOT NULL,
  accepted_at_ms INTEGER,
  ringing_at_ms  INTEGER,
  answered_at_ms INTEGER,
  bridged_at_ms  INTEGER,
  ended_at_ms    INTEGER,
  agent_id       TEXT,
  outcome        TEXT,
  cause          INTEGER,
  tech_cause     INTEGER,
  rule           TEXT    NOT NULL DEFAULT '',  -- what the outcome did to the lead, in words
  counted        INTEGER NOT NULL DEFAULT 1 CHECK (counted IN (0, 1)),  -- spends one of the lead's tries
  CHECK ((outcome IS NULL) = (ended_at_ms IS NULL))
) STRICT;
-- I1: at most one live attempt per lead and per number, whatever the program believes.
CREATE UNIQUE INDEX attempts_open_lead ON attempts (lead_id) WHERE ended_at_ms IS NULL;
CREATE UNIQUE INDEX attempts_open_number ON attempts (number) WHERE ended_at_ms IS NULL;
CREATE INDEX attempts_lead ON attempts (lead_id, planned_at_ms);
CREATE INDEX attempts_number ON attempts (number, planned_at_ms);
CREATE INDEX attempts_campaign ON attempts (campaign_id, planned_at_ms);

-- The conversation that an attempt became.
CREATE TABLE calls (
  attempt_id     TEXT    PRIMARY KEY REFERENCES attempts (id),
  campaign_id    TEXT    NOT NULL,
  lead_id        INTEGER NOT NULL REFERENCES leads (id),
  agent_id       TEXT    NOT NULL,
  bridged_at_ms  INTEGER NOT NULL,
  ended_at_ms    INTEGER,
  disposition_id TEXT,
  disposed_at_ms INTEGER,
  disposed_by    TEXT,
  note           TEXT    NOT NULL DEFAULT '',
  CHECK ((disposition_id IS NULL) = (disposed_at_ms IS NULL))
) STRICT;
CREATE INDEX calls_lead ON calls (lead_id, bridged_at_ms);
CREATE INDEX calls_agent ON calls (agent_id, bridged_at_ms);
CREATE INDEX calls_undisposed ON calls (attempt_id) WHERE disposition_id IS NULL;

-- Every disposition that was ever given: a correction adds a row, the call shows the last one.
CREATE TABLE dispositions (
  attempt_id     TEXT    NOT NULL REFERENCES attempts (id),
  at_ms          INTEGER NOT NULL,
  agent_id       TEXT    NOT NULL,
  disposition_id TEXT    NOT NULL,
  note           TEXT    NOT NULL,
  rule           TEXT    NOT NULL,
  PRIMARY KEY (attempt_id, at_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE callbacks (
  id             INTEGER PRIMARY KEY,
  lead_id        INTEGER NOT NULL REFERENCES leads (id),
  campaign_id    TEXT    NOT NULL,
  attempt_id     TEXT    REFERENCES attempts (id),  -- the conversation in which it was promised
  promised_at_ms INTEGER NOT NULL,  -- what was said
  due_at_ms      INTEGER NOT NULL,  -- moves on when nobody was reached
  owner          TEXT,  -- the agent; NULL is anyone
  state          TEXT    NOT NULL CHECK (state IN ('scheduled', 'due', 'done', 'missed', 'cancelled')),
  created_at_ms  INTEGER NOT NULL,
  created_by     TEXT    NOT NULL,
  closed_at_ms   INTEGER,
  closed_by      TEXT    NOT NULL DEFAULT '',
  UNIQUE (attempt_id, created_at_ms),
  CHECK ((closed_at_ms IS NULL) = (state IN ('scheduled', 'due')))
) STRICT;
CREATE INDEX callbacks_lead ON callbacks (lead_id, created_at_ms);
CREATE UNIQUE INDEX callbacks_open ON callbacks (lead_id) WHERE closed_at_ms IS NULL;
CREATE INDEX callbacks_due ON callbacks (due_at_ms) WHERE closed_at_ms IS NULL;

-- ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- The last state of each agent, for recovery.
CREATE TABLE agents (
  id            TEXT    PRIMARY KEY,
  state         TEXT    NOT NULL
    CHECK (state IN ('logged_out', 'connecting', 'ready', 'reserved', 'talking', 'wrap_up', 'paused')),
  since_ms      INTEGER NOT NULL,
  idle_since_ms INTEGER NOT NULL,
  leg           TEXT,
  bridge        TEXT,
  attempt_id    TEXT,
  pause_reason  TEXT    NOT NULL,
  wish          TEXT,
  wish_reason   TEXT    NOT NULL,
  disposed      INTEGER NOT NULL CHECK (disposed IN (0, 1)),
  at_ms         INTEGER NOT NULL
) STRICT;

-- The state from a millisecond on; of several within one, the last.
CREATE TABLE agent_log (
  agent_id     TEXT    NOT NULL,
  at_ms        INTEGER NOT NULL,
  state        TEXT    NOT NULL,
  pause_reason TEXT    NOT NULL,
  attempt_id   TEXT,
  PRIMARY KEY (agent_id, at_ms)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  login         TEXT    PRIMARY KEY,
  name          TEXT    NOT NULL,
  role          TEXT    NOT NULL CHECK (role IN ('operator', 'supervisor', 'engineer', 'admin')),
  agent_id      TEXT,  -- whose calls they take, if any
  language      TEXT    NOT NULL,
  theme         TEXT    NOT NULL,
  password_hash TEXT    NOT NULL,
  disabled      INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL
) STRICT;

-- Open log-ins; only the hash of a token is known here.
CREATE TABLE sessions (
  token_hash    TEXT    PRIMARY KEY,
  login         TEXT    NOT NULL REFERENCES users (login),
  created_at_ms INTEGER NOT NULL,
  seen_at_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_login ON sessions (login);

-- The note of a conversation while it is being typed.
CREATE TABLE drafts (
  agent_id   TEXT    NOT NULL,
  attempt_id TEXT    NOT NULL REFERENCES attempts (id),
  lead_id    INTEGER NOT NULL REFERENCES leads (id),
  text       TEXT    NOT NULL,
  at_ms      INTEGER NOT NULL,
  PRIMARY KEY (agent_id, attempt_id)
) STRICT, WITHOUT ROWID;

-- ── audit ───────────────────────────────────────────────────────────────────────────────────────────────────────

-- Append-only; each row carries the hash of its own content and of the row before.
CREATE TABLE audit (
  seq     INTEGER PRIMARY KEY,
  at_ms   INTEGER NOT NULL,
  actor   TEXT    NOT NULL,
  action  TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  detail  TEXT    NOT NULL,
  hash    TEXT    NOT NULL,
  UNIQUE (at_ms, actor, action, subject, detail)
) STRICT;
CREATE INDEX audit_subject ON audit (subject, seq);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
