-- Each call pays for each index: only `verify` walked this one, and can sort instead.
DROP INDEX attempts_number;

-- Whom we have on the line is in `attempts_open_number` already; who calls us is few.
DROP INDEX attempts_on_the_line;
CREATE INDEX attempts_calling_in ON attempts (number) WHERE ended_at_ms IS NULL AND queue_id IS NOT NULL;
