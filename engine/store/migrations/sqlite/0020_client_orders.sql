-- What clients order.
CREATE TABLE client_orders (
  id            INTEGER PRIMARY KEY,
  lead_id       INTEGER NOT NULL REFERENCES leads (id),
  attempt_id    TEXT REFERENCES attempts (id),  -- the call during which it was made
  state         TEXT    NOT NULL,
  fields        TEXT    NOT NULL,  -- JSON, by the names of config.yaml
  version       INTEGER NOT NULL DEFAULT 1,
  undone        INTEGER NOT NULL DEFAULT 0 CHECK (undone IN (0, 1)),  -- its last version took the one before back
  taken_back    INTEGER NOT NULL DEFAULT 0 CHECK (taken_back IN (0, 1)),
  created_at_ms INTEGER NOT NULL,
  created_by    TEXT    NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  updated_by    TEXT    NOT NULL
) STRICT;
CREATE INDEX client_orders_lead ON client_orders (lead_id, id);
CREATE INDEX client_orders_attempt ON client_orders (attempt_id) WHERE attempt_id IS NOT NULL;

-- Each change of an order, whole: what an undo puts back, and what a command carried out twice is known by.
CREATE TABLE client_order_versions (
  key      TEXT    PRIMARY KEY,  -- of the command
  order_id INTEGER NOT NULL REFERENCES client_orders (id),
  version  INTEGER NOT NULL,
  state    TEXT    NOT NULL,
  fields   TEXT    NOT NULL,
  login    TEXT    NOT NULL,
  at_ms    INTEGER NOT NULL,
  UNIQUE (order_id, version)
) STRICT, WITHOUT ROWID;

-- An order that is being typed.
CREATE TABLE client_order_drafts (
  login   TEXT    NOT NULL,
  lead_id INTEGER NOT NULL REFERENCES leads (id),
  text    TEXT    NOT NULL,
  at_ms   INTEGER NOT NULL,
  PRIMARY KEY (login, lead_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX client_order_drafts_lead ON client_order_drafts (lead_id);
