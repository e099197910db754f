-- What the CRM reads and writes.

-- name: user_by_login
SELECT * FROM users WHERE login = :login;

-- name: users
SELECT * FROM users ORDER BY login;

-- name: put_user
INSERT INTO users (
  login, name, role, agent_id, language, theme, password_hash, disabled, created_at_ms, updated_at_ms
) VALUES (
  :login, :name, :role, :agent, :language, :theme, :password_hash, :disabled, :now_ms, :now_ms
)
ON CONFLICT (login) DO UPDATE SET
  name = excluded.name, role = excluded.role, agent_id = excluded.agent_id, language = excluded.language,
  theme = excluded.theme, password_hash = excluded.password_hash, disabled = excluded.disabled,
  updated_at_ms = excluded.updated_at_ms;

-- name: set_user_looks
UPDATE users SET language = :language, theme = :theme WHERE login = :login;

-- name: set_preferences
UPDATE users SET preferences = :preferences WHERE login = :login;

-- name: add_session
INSERT INTO sessions (token_hash, login, created_at_ms, seen_at_ms) VALUES (:token_hash, :login, :now_ms, :now_ms);

-- name: session
SELECT s.token_hash, s.created_at_ms, s.seen_at_ms,
       u.login, u.name, u.role, u.agent_id, u.language, u.theme, u.password_hash, u.disabled, u.preferences
FROM sessions s JOIN users u ON u.login = s.login
WHERE s.token_hash = :token_hash;

-- name: touch_session
UPDATE sessions SET seen_at_ms = :now_ms WHERE token_hash = :token_hash AND seen_at_ms < :now_ms;

-- name: end_session
DELETE FROM sessions WHERE token_hash = :token_hash;

-- name: end_sessions
DELETE FROM sessions WHERE login = :login;

-- name: end_old_sessions
DELETE FROM sessions WHERE seen_at_ms < :seen_before_ms OR created_at_ms < :created_before_ms;

-- name: audit_page
SELECT seq, at_ms, actor, action, subject, detail FROM audit
WHERE seq < :before AND at_ms >= :since_ms AND at_ms < :until_ms AND (:actor = '' OR actor = :actor)
  AND (:any_action OR action IN (SELECT value FROM json_each(:actions)))
ORDER BY seq DESC LIMIT :limit;

-- name: lead_card
SELECT l.*,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable, p.type)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones,
  (SELECT rule FROM (
     SELECT a.ended_at_ms AS at_ms, a.rule FROM attempts a WHERE a.lead_id = l.id AND a.rule <> ''
     UNION ALL
     SELECT d.at_ms, d.rule FROM attempts a JOIN dispositions d ON d.attempt_id = a.id WHERE a.lead_id = l.id
   ) ORDER BY at_ms DESC LIMIT 1) AS rule,
  (SELECT b.due_at_ms FROM callbacks b WHERE b.lead_id = l.id AND b.closed_at_ms IS NULL) AS promised_at_ms
FROM leads l WHERE l.id = :lead;

-- name: callback_changes
-- The newest first; `called`: the lead has been called since.
SELECT c.*, EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = c.lead_id AND a.planned_at_ms >= c.at_ms) AS called
FROM callback_changes c WHERE c.lead_id = :lead ORDER BY c.id DESC LIMIT :limit;

-- name: lead_history
SELECT a.*, coalesce(c.agent_id, a.agent_id) AS talked_with, c.disposition_id, coalesce(c.note, '') AS note,
  (SELECT p.usable FROM lead_phones p WHERE p.lead_id = a.lead_id AND p.position = a.phone_position) AS usable,
  (SELECT b.due_at_ms FROM callbacks b WHERE b.attempt_id = a.id AND b.state <> 'cancelled' ORDER BY b.created_at_ms DESC LIMIT 1) AS callback_at_ms,
  (SELECT d.rule FROM dispositions d WHERE d.attempt_id = a.id ORDER BY d.at_ms DESC LIMIT 1) AS disposition_rule
FROM attempts a
LEFT JOIN calls c ON c.attempt_id = a.id
WHERE a.lead_id = :lead
ORDER BY a.planned_at_ms DESC, a.id DESC
LIMIT :limit;

-- name: recordings_of_lead
SELECT r.name, r.attempt_id FROM attempts a JOIN recordings r ON r.attempt_id = a.id
WHERE a.lead_id = :lead AND r.ended_at_ms IS NOT NULL
ORDER BY r.started_at_ms, r.name LIMIT :limit;

-- name: call_in
SELECT a.number, a.campaign_id, a.lead_id, coalesce(c.agent_id, a.agent_id) AS agent_id
FROM attempts a LEFT JOIN calls c ON c.attempt_id = a.id WHERE a.id = :attempt AND a.queue_id IS NOT NULL;

-- name: insert_caller
INSERT INTO leads (
  campaign_id, external_id, name, name_folded, zone, fields, state, created_at_ms, updated_at_ms
)
SELECT :campaign, :key, :name, :name_folded, :zone, :fields, 'closed', :now_ms, :now_ms
WHERE NOT EXISTS (
  SELECT 1 FROM phones p JOIN leads l ON l.id = p.lead_id WHERE p.number = :number AND l.external_id = :key);

-- name: insert_caller_phone
INSERT INTO phones (lead_id, position, number)
SELECT l.id, 0, :number FROM leads l WHERE l.id = (SELECT max(id) FROM leads) AND l.external_id = :key
ON CONFLICT DO NOTHING;

-- name: caller_lead
SELECT l.id FROM phones p JOIN leads l ON l.id = p.lead_id
WHERE p.number = :number AND l.external_id = :key ORDER BY l.id LIMIT 1;

-- name: disposition_history
SELECT * FROM dispositions WHERE attempt_id = :attempt ORDER BY at_ms;

-- name: list_leads
SELECT l.*, '' AS rule, NULL AS promised_at_ms,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable, p.type)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones
FROM leads l
WHERE l.id > :after
  AND (:campaigns IS NULL OR l.campaign_id IN (SELECT value FROM json_each(:campaigns)))
  AND (:state IS NULL OR l.state = :state)
ORDER BY l.id LIMIT :limit;

-- name: list_leads_of_keeper
SELECT l.*, '' AS rule, NULL AS promised_at_ms,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable, p.type)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones
FROM leads l
WHERE l.keeper = :keeper AND l.id > :after
  AND (:campaigns IS NULL OR l.campaign_id IN (SELECT value FROM json_each(:campaigns)))
  AND (:state IS NULL OR l.state = :state) AND (:list IS NULL OR l.list = :list)
ORDER BY l.id LIMIT :limit;

-- name: list_leads_of_list
SELECT l.*, '' AS rule, NULL AS promised_at_ms,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable, p.type)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones
FROM leads l
WHERE l.list = :list AND l.list <> '' AND l.id > :after
  AND (:campaigns IS NULL OR l.campaign_id IN (SELECT value FROM json_each(:campaigns)))
  AND (:state IS NULL OR l.state = :state)
ORDER BY l.id LIMIT :limit;

-- name: list_tagged_leads
SELECT l.*, '' AS rule, NULL AS promised_at_ms,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable, p.type)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones
FROM lead_tags t CROSS JOIN leads l
WHERE t.tag = :tag AND t.lead_id > :after AND l.id = t.lead_id
  AND (:campaigns IS NULL OR l.campaign_id IN (SELECT value FROM json_each(:campaigns)))
  AND (:state IS NULL OR l.state = :state) AND (:keeper IS NULL OR l.keeper = :keeper)
  AND (:list IS NULL OR l.list = :list)
ORDER BY t.lead_id LIMIT :limit;

-- name: tags
-- By hops over the index.
WITH RECURSIVE hops (tag) AS (
  SELECT min(tag) FROM lead_tags
  UNION ALL
  SELECT (SELECT t.tag FROM lead_tags t WHERE t.tag > hops.tag ORDER BY t.tag LIMIT 1) FROM hops WHERE hops.tag IS NOT NULL
)
SELECT tag FROM hops WHERE tag IS NOT NULL LIMIT :limit;

-- name: lists
-- By hops over the index.
WITH RECURSIVE hops (list) AS (
  VALUES ('')
  UNION ALL
  SELECT (SELECT l.list FROM leads l WHERE l.list > hops.list AND l.list <> '' ORDER BY l.list LIMIT 1) FROM hops
  WHERE hops.list IS NOT NULL
)
SELECT list FROM hops WHERE list <> '' LIMIT :limit;

-- name: callbacks_due
SELECT b.id, b.lead_id, b.campaign_id, l.name, b.due_at_ms, b.owner, b.state
FROM callbacks b JOIN leads l ON l.id = b.lead_id
WHERE b.closed_at_ms IS NULL AND b.due_at_ms <= :until_ms AND (:owner IS NULL OR b.owner = :owner)
ORDER BY b.due_at_ms, b.id LIMIT :limit;

-- name: promised
SELECT due_at_ms FROM callbacks
WHERE closed_at_ms IS NULL AND due_at_ms >= :from_ms AND due_at_ms < :until_ms
  AND (:campaign IS NULL OR campaign_id = :campaign) AND (:owner IS NULL OR owner = :owner)
  AND (:but_attempt IS NULL OR attempt_id IS NOT :but_attempt) AND lead_id IS NOT :but_lead
LIMIT 50000;

-- name: promises
-- Kept: their phone may have rung within the tolerance. What was taken back before its time counts for nothing.
SELECT coalesce(sum(kept), 0) AS kept, coalesce(sum(NOT kept AND state <> 'cancelled'), 0) AS broken
FROM (
  SELECT b.state, EXISTS (
    SELECT 1 FROM attempts a WHERE a.lead_id = b.lead_id AND a.counted = 1
      AND a.planned_at_ms >= b.promised_at_ms AND a.planned_at_ms <= b.promised_at_ms + :tolerance_ms
  ) AS kept
  FROM callbacks b
  WHERE b.campaign_id = :campaign AND b.promised_at_ms >= :since_ms AND b.promised_at_ms < :now_ms - :tolerance_ms
);

-- name: overdue
SELECT count(*) AS overdue FROM callbacks b JOIN leads l ON l.id = b.lead_id
WHERE b.closed_at_ms IS NULL AND b.due_at_ms < :now_ms - :alarm_ms AND +b.campaign_id = :campaign
  AND l.state = 'callback';

-- name: count_leads
SELECT state, count(*) AS n FROM leads WHERE campaign_id = :campaign GROUP BY state;

-- name: count_outcomes
SELECT outcome, count(*) AS n FROM attempts
WHERE campaign_id = :campaign AND planned_at_ms >= :since_ms AND queue_id IS NULL AND outcome IS NOT NULL GROUP BY outcome;

-- name: count_dispositions
SELECT c.disposition_id, count(*) AS n FROM attempts a JOIN calls c ON c.attempt_id = a.id
WHERE a.campaign_id = :campaign AND a.planned_at_ms >= :since_ms AND c.disposition_id IS NOT NULL
GROUP BY c.disposition_id;

-- name: count_due
SELECT (SELECT count(*) FROM leads WHERE campaign_id = :campaign AND line IS NOT NULL)
     + (SELECT count(*) FROM leads
        WHERE campaign_id = :campaign AND next_at_ms <= :now_ms AND line IS NULL AND state IN ('new', 'retry')) AS due,
  (SELECT count(*) FROM leads
   WHERE campaign_id = :campaign AND next_at_ms <= :now_ms AND state = 'callback') AS due_callbacks;

-- name: agent_day
SELECT count(*) AS calls,
       coalesce(sum(outcome = 'connected'), 0) AS contacts,
       coalesce(sum(ended_at_ms IS NOT NULL AND disposition_id IS NULL), 0) AS undisposed,
       coalesce(sum(ended_at_ms - bridged_at_ms), 0) AS talk_ms
FROM (
  SELECT c.ended_at_ms, c.bridged_at_ms, c.disposition_id, a.outcome
  FROM calls c JOIN attempts a ON a.id = c.attempt_id
  WHERE c.agent_id = :agent AND c.bridged_at_ms >= :since_ms
);

-- name: own_call
SELECT a.id, a.lead_id, a.campaign_id, a.phone_position, a.planned_at_ms, c.bridged_at_ms, c.ended_at_ms,
       coalesce(c.disposition_id, '') AS disposition_id, c.note, l.name
FROM calls c JOIN attempts a ON a.id = c.attempt_id JOIN leads l ON l.id = a.lead_id
WHERE a.id = :attempt AND c.agent_id = :agent;

-- name: own_calls
-- The agent's conversations that are over: those without a result first, then the last ones.
SELECT a.id, a.lead_id, a.campaign_id, a.phone_position, a.planned_at_ms, c.bridged_at_ms, c.ended_at_ms,
       coalesce(c.disposition_id, '') AS disposition_id, c.note, l.name
FROM calls c JOIN attempts a ON a.id = c.attempt_id JOIN leads l ON l.id = a.lead_id
WHERE c.agent_id = :agent AND c.bridged_at_ms >= :since_ms AND c.ended_at_ms IS NOT NULL
ORDER BY c.disposition_id IS NOT NULL, c.bridged_at_ms DESC LIMIT :limit;

-- name: agent_times
-- Each row of the log lasts until the agent's next one; what began before the span counts from its start.
WITH spans AS (
  SELECT l.agent_id, l.state, l.pause_reason, l.at_ms,
         lead(l.at_ms, 1, :until_ms) OVER (PARTITION BY l.agent_id ORDER BY l.at_ms) AS next_ms
  FROM agents g CROSS JOIN agent_log l
  WHERE (:agent IS NULL OR g.id = :agent) AND l.agent_id = g.id AND l.at_ms < :until_ms
    AND l.at_ms >= coalesce((SELECT max(b.at_ms) FROM agent_log b WHERE b.agent_id = g.id AND b.at_ms <= :since_ms), :since_ms)
)
SELECT agent_id, state, pause_reason, sum(next_ms - max(at_ms, :since_ms)) AS time_ms
FROM spans WHERE next_ms > :since_ms
GROUP BY agent_id, state, pause_reason ORDER BY agent_id, state, pause_reason;

-- name: draft
-- A caller's note may be older than their lead.
SELECT text, at_ms FROM drafts WHERE agent_id = :agent AND attempt_id = :attempt AND (lead_id = :lead OR lead_id IS NULL);

-- name: drafts_of_others
SELECT agent_id, text FROM drafts WHERE attempt_id = :attempt AND agent_id <> :agent AND text <> '' ORDER BY at_ms, agent_id;

-- name: save_draft
INSERT INTO drafts (agent_id, attempt_id, lead_id, text, at_ms) VALUES (:agent, :attempt, :lead, :text, :at_ms)
ON CONFLICT (agent_id, attempt_id) DO UPDATE SET text = excluded.text, at_ms = excluded.at_ms
WHERE excluded.at_ms >= drafts.at_ms;

-- name: drop_draft
DELETE FROM drafts WHERE agent_id = :agent AND attempt_id = :attempt AND at_ms <= :at_ms;
