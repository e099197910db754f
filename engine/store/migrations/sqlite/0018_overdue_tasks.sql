-- What nobody has done in time, for who looks after all operators.
CREATE INDEX tasks_open ON tasks (due_at_ms) WHERE state = 'open';
