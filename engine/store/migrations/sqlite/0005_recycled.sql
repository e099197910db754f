-- A supervisor may give a lead its tries back: only attempts from then on count.
ALTER TABLE leads ADD COLUMN tries_since_ms INTEGER NOT NULL DEFAULT 0;
