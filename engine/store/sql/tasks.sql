-- Operators' tasks, and what "Next" handed out.

-- name: insert_task
INSERT INTO tasks (key, type_id, tier, title, lead_id, owner, due_at_ms, created_at_ms, created_by)
VALUES (:key, :type, :tier, :title, :lead, :owner, :due_at_ms, :at_ms, :by)
ON CONFLICT (key) DO NOTHING;

-- name: open_tasks
SELECT t.id, t.type_id, t.tier, t.title, t.owner, t.due_at_ms, t.lead_id, coalesce(l.name, '') AS lead_name
FROM tasks t LEFT JOIN leads l ON l.id = t.lead_id
WHERE t.owner = :owner AND t.state = 'open'
ORDER BY t.due_at_ms, t.tier, t.id LIMIT :limit;

-- name: overdue_tasks
SELECT t.id, t.type_id, t.tier, t.title, t.owner, t.due_at_ms, t.lead_id, coalesce(l.name, '') AS lead_name
FROM tasks t LEFT JOIN leads l ON l.id = t.lead_id
WHERE t.state = 'open' AND t.due_at_ms < :before_ms
ORDER BY t.due_at_ms, t.id LIMIT :limit;

-- name: count_overdue
SELECT count(*) AS overdue FROM tasks WHERE state = 'open' AND due_at_ms < :before_ms;

-- name: task_times
-- What the days hold already; a task that is done has taken its place.
SELECT due_at_ms FROM tasks
WHERE owner = :owner AND due_at_ms >= :from_ms AND due_at_ms < :until_ms AND id IS NOT :but;

-- name: next_own_call
SELECT min(due_at_ms) AS due_at_ms FROM callbacks WHERE closed_at_ms IS NULL AND due_at_ms > :now_ms AND owner = :owner;

-- name: finish_task
UPDATE tasks SET state = 'done', closed_at_ms = :at_ms WHERE id = :task AND owner = :owner AND state = 'open'
RETURNING id;

-- name: postpone_task
UPDATE tasks SET due_at_ms = :due_at_ms WHERE id = :task AND owner = :owner AND state = 'open'
RETURNING id;

-- name: save_handout
INSERT INTO handouts (agent_id, task_id, lead_id, why, at_ms) VALUES (:agent, :task, :lead, :why, :at_ms)
ON CONFLICT (agent_id) DO UPDATE SET
  task_id = excluded.task_id, lead_id = excluded.lead_id, why = excluded.why, at_ms = excluded.at_ms;

-- name: put_away
UPDATE handouts SET task_id = NULL WHERE agent_id = :agent AND task_id = :task;

-- name: handout
-- With the task while it is open, and what became of the call that it was handed out for.
SELECT h.lead_id, h.why, h.at_ms, t.id AS task_id,
  (SELECT json_array(a.outcome, c.disposition_id IS NOT NULL) FROM attempts a LEFT JOIN calls c ON c.attempt_id = a.id
   WHERE a.lead_id = h.lead_id AND a.planned_at_ms >= h.at_ms AND a.agent_id = h.agent_id AND t.id IS NOT NULL
   ORDER BY a.planned_at_ms DESC LIMIT 1) AS called
FROM handouts h LEFT JOIN tasks t ON t.id = h.task_id AND t.state = 'open'
WHERE h.agent_id = :agent;
