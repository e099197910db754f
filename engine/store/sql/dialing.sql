-- What the engine writes while it dials, and what it reads to dial on and to recover.
-- Every statement may run twice with the same values: a commit whose answer was lost is sent again.

-- name: next_epoch
INSERT INTO epochs (epoch, started_at_ms)
SELECT coalesce(max(epoch), 0) + 1, :at_ms FROM epochs
RETURNING epoch;

-- name: insert_attempt
INSERT INTO attempts (
  id, campaign_id, lead_id, phone_position, number, trunk_id, leg, state, planned_at_ms, agent_id
) VALUES (
  :id, :campaign, :lead, :phone_position, :number, :trunk, :leg, :state, :planned_at_ms, :agent
)
ON CONFLICT (id) DO NOTHING;

-- name: claim_lead
UPDATE leads
SET state = 'dialing', next_phone = :phone_position, updated_at_ms = :at_ms, version = version + 1,
    attempts_count = (SELECT count(*) FROM attempts a WHERE a.lead_id = leads.id AND a.counted = 1)
WHERE id = :lead AND EXISTS (SELECT 1 FROM attempts a WHERE a.id = :attempt AND a.ended_at_ms IS NULL);

-- name: callbacks_due_now
UPDATE callbacks SET state = 'due'
WHERE lead_id = :lead AND closed_at_ms IS NULL AND due_at_ms <= :at_ms;

-- name: answer_attempt
UPDATE attempts
SET state = :state, accepted_at_ms = :accepted_at_ms, ringing_at_ms = :ringing_at_ms,
    answered_at_ms = :answered_at_ms, bridged_at_ms = :bridged_at_ms, agent_id = :agent
WHERE id = :id AND ended_at_ms IS NULL;

-- name: save_call
-- A customer whose agent was lost may be given to another one: the call is the last one's.
INSERT INTO calls (attempt_id, campaign_id, lead_id, agent_id, bridged_at_ms)
VALUES (:attempt, :campaign, :lead, :agent, :bridged_at_ms)
ON CONFLICT (attempt_id) DO UPDATE SET agent_id = excluded.agent_id, bridged_at_ms = excluded.bridged_at_ms;

-- name: end_call
UPDATE calls SET ended_at_ms = :at_ms WHERE attempt_id = :attempt AND ended_at_ms IS NULL;

-- name: lead_in_call
UPDATE leads SET state = 'in_call', updated_at_ms = :at_ms, version = version + 1
WHERE id = :lead AND state = 'dialing';

-- name: end_attempt
UPDATE attempts
SET state = 'ended', accepted_at_ms = :accepted_at_ms, ringing_at_ms = :ringing_at_ms,
    answered_at_ms = :answered_at_ms, bridged_at_ms = :bridged_at_ms, ended_at_ms = :ended_at_ms,
    agent_id = :agent, outcome = :outcome, cause = :cause, tech_cause = :tech_cause, rule = :rule, counted = :counted
WHERE id = :id AND ended_at_ms IS NULL;

-- name: recount_lead
UPDATE leads
SET attempts_count = (SELECT count(*) FROM attempts a WHERE a.lead_id = leads.id AND a.counted = 1)
WHERE id = :lead;

-- name: callbacks_kept
UPDATE callbacks SET state = 'done', closed_at_ms = :at_ms, closed_by = :attempt
WHERE lead_id = :lead AND closed_at_ms IS NULL AND due_at_ms <= :planned_at_ms;

-- name: change_lead
UPDATE leads
SET state = :state, next_at_ms = coalesce(:next_at_ms, next_at_ms), next_phone = coalesce(:next_phone, next_phone),
    owner = :owner, updated_at_ms = :at_ms, version = version + 1
WHERE id = :lead AND state <> 'suppressed';

-- name: phone_invalid
UPDATE phones SET valid = 0 WHERE lead_id = :lead AND position = :position;

-- name: callbacks_moved
UPDATE callbacks SET state = 'scheduled', due_at_ms = :due_at_ms WHERE lead_id = :lead AND closed_at_ms IS NULL;

-- name: callbacks_off
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = :closed_by
WHERE lead_id = :lead AND closed_at_ms IS NULL;

-- name: suppress_numbers_of_lead
INSERT INTO suppressions (number, list, reason, suppressed_by, at_ms)
SELECT number, 'system', :reason, :suppressed_by, :at_ms FROM phones WHERE lead_id = :lead
ON CONFLICT (number, list) DO NOTHING;

-- name: suppress_leads_of_lead
-- Everybody who shares a number with this lead and has no other one.
UPDATE leads SET state = 'suppressed', updated_at_ms = :at_ms, version = version + 1
WHERE queue_rank IS NOT NULL
  AND id IN (SELECT q.lead_id FROM phones p JOIN phones q ON q.number = p.number WHERE p.lead_id = :lead)
  AND NOT EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: suppress_unreachable
-- While it was called, all its numbers came onto do-not-call lists.
UPDATE leads SET state = 'suppressed', updated_at_ms = :at_ms, version = version + 1
WHERE id = :lead AND queue_rank IS NOT NULL
  AND EXISTS (SELECT 1 FROM phones p WHERE p.lead_id = leads.id AND p.valid)
  AND NOT EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: cancel_callbacks_of_suppressed
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = :closed_by
WHERE closed_at_ms IS NULL
  AND lead_id IN (SELECT q.lead_id FROM phones p JOIN phones q ON q.number = p.number WHERE p.lead_id = :lead)
  AND lead_id IN (SELECT l.id FROM leads l WHERE l.id = callbacks.lead_id AND l.state = 'suppressed');

-- name: suppress_numbers_of_attempt
INSERT INTO suppressions (number, list, reason, suppressed_by, at_ms)
SELECT number, 'system', 'opt_out', 'customer', :at_ms FROM (
  SELECT a.number FROM attempts a WHERE a.id = :attempt
  UNION
  SELECT p.number FROM phones p WHERE p.lead_id = (SELECT a.lead_id FROM attempts a WHERE a.id = :attempt)
) WHERE true
ON CONFLICT (number, list) DO NOTHING;

-- name: suppress_leads_of_attempt
-- The lead itself, also in a call; and everybody who shares a number with it and has no other one.
UPDATE leads SET state = 'suppressed', updated_at_ms = :at_ms, version = version + 1
WHERE id = (SELECT a.lead_id FROM attempts a WHERE a.id = :attempt) AND state <> 'suppressed'
  OR queue_rank IS NOT NULL
  AND id IN (SELECT q.lead_id FROM attempts a JOIN phones p ON p.lead_id = a.lead_id JOIN phones q ON q.number = p.number
             WHERE a.id = :attempt)
  AND NOT EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: callbacks_off_of_attempt
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = 'customer'
WHERE lead_id = (SELECT a.lead_id FROM attempts a WHERE a.id = :attempt) AND closed_at_ms IS NULL;

-- name: insert_disposition
INSERT INTO dispositions (attempt_id, at_ms, agent_id, disposition_id, note, rule)
VALUES (:attempt, :at_ms, :agent, :disposition, :note, :rule)
ON CONFLICT (attempt_id, at_ms) DO UPDATE SET
  agent_id = excluded.agent_id, disposition_id = excluded.disposition_id, note = excluded.note, rule = excluded.rule;

-- name: dispose_call
UPDATE calls
SET disposition_id = :disposition, disposed_at_ms = :at_ms, disposed_by = :agent, note = :note
WHERE attempt_id = :attempt;

-- name: insert_callback
INSERT INTO callbacks (
  lead_id, campaign_id, attempt_id, promised_at_ms, due_at_ms, owner, state, created_at_ms, created_by
)
SELECT :lead, l.campaign_id, :attempt, :due_at_ms, :due_at_ms, :owner, 'scheduled', :at_ms, :created_by
FROM leads l WHERE l.id = :lead AND l.state <> 'suppressed'
ON CONFLICT (attempt_id, created_at_ms) DO UPDATE SET
  due_at_ms = excluded.due_at_ms, owner = excluded.owner, state = 'scheduled', closed_at_ms = NULL, closed_by = '';

-- name: forget_draft
DELETE FROM drafts WHERE agent_id = :agent AND attempt_id = :attempt AND at_ms <= :at_ms;

-- name: save_agent
INSERT INTO agents (
  id, state, since_ms, idle_since_ms, leg, bridge, attempt_id, pause_reason, wish, wish_reason, disposed, at_ms
) VALUES (
  :id, :state, :since_ms, :idle_since_ms, :leg, :bridge, :attempt, :pause_reason, :wish, :wish_reason, :disposed, :at_ms
)
ON CONFLICT (id) DO UPDATE SET
  state = excluded.state, since_ms = excluded.since_ms, idle_since_ms = excluded.idle_since_ms, leg = excluded.leg,
  bridge = excluded.bridge, attempt_id = excluded.attempt_id, pause_reason = excluded.pause_reason,
  wish = excluded.wish, wish_reason = excluded.wish_reason, disposed = excluded.disposed, at_ms = excluded.at_ms;

-- name: log_agent
INSERT INTO agent_log (agent_id, at_ms, state, pause_reason, attempt_id)
VALUES (:id, :at_ms, :state, :pause_reason, :attempt)
ON CONFLICT (agent_id, at_ms) DO UPDATE SET
  state = excluded.state, pause_reason = excluded.pause_reason, attempt_id = excluded.attempt_id;

-- name: save_campaign_run
INSERT INTO campaign_runs (campaign_id, running, since_ms) VALUES (:campaign, :running, :at_ms)
ON CONFLICT (campaign_id) DO UPDATE SET running = excluded.running, since_ms = excluded.since_ms;

-- name: save_pacing
INSERT INTO pacing (campaign_id, learned, at_ms) VALUES (:campaign, :learned, :at_ms)
ON CONFLICT (campaign_id) DO UPDATE SET learned = excluded.learned, at_ms = excluded.at_ms;

-- name: append_audit
INSERT INTO audit (seq, at_ms, actor, action, subject, detail, hash)
SELECT last.seq + 1, :at_ms, :actor, :action, :subject, :detail,
       chain_hash(last.hash, last.seq + 1, :at_ms, :actor, :action, :subject, :detail)
FROM (SELECT coalesce((SELECT max(seq) FROM audit), 0) AS seq,
             coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), '') AS hash) AS last
WHERE true
ON CONFLICT (at_ms, actor, action, subject, detail) DO NOTHING;

-- name: append_audit_once
-- What may be told again, even after a restart.
INSERT INTO audit (seq, at_ms, actor, action, subject, detail, hash)
SELECT last.seq + 1, :at_ms, :actor, :action, :subject, :detail,
       chain_hash(last.hash, last.seq + 1, :at_ms, :actor, :action, :subject, :detail)
FROM (SELECT coalesce((SELECT max(seq) FROM audit), 0) AS seq,
             coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), '') AS hash) AS last
WHERE NOT EXISTS (SELECT 1 FROM audit a WHERE a.subject = :subject AND a.action = :action);

-- name: queue_ranks
-- The few ranks of a campaign's queue by hops over its index, each with its earliest due and not yet due time.
WITH RECURSIVE ranks (queue_rank) AS (
  SELECT (SELECT min(l.queue_rank) FROM leads l WHERE l.campaign_id = :campaign AND l.queue_rank IS NOT NULL)
  UNION ALL
  SELECT (SELECT min(l.queue_rank) FROM leads l
          WHERE l.campaign_id = :campaign AND l.queue_rank IS NOT NULL AND l.queue_rank > ranks.queue_rank)
  FROM ranks WHERE ranks.queue_rank IS NOT NULL
)
SELECT queue_rank,
  (SELECT min(l.next_at_ms) FROM leads l
   WHERE l.campaign_id = :campaign AND l.queue_rank = ranks.queue_rank) AS first_at_ms,
  (SELECT min(l.next_at_ms) FROM leads l
   WHERE l.campaign_id = :campaign AND l.queue_rank = ranks.queue_rank AND l.next_at_ms > :now_ms) AS next_at_ms
FROM ranks WHERE queue_rank IS NOT NULL;

-- name: due_leads
-- One rank's due leads in the order of dialing, by the index alone; none that is, or shares a number with, a live call.
SELECT l.id, l.campaign_id, l.state, l.priority, l.zone, l.attempts_count, l.next_at_ms, l.next_phone, l.owner, l.version,
  json_extract(l.fields, '$.language') AS language,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones,
  (SELECT json_group_array(a.outcome) FROM attempts a
   WHERE a.lead_id = l.id AND a.outcome IS NOT NULL) AS outcomes
FROM leads l
WHERE l.campaign_id = :campaign AND l.queue_rank = :queue_rank AND l.next_at_ms <= :now_ms
  AND l.id NOT IN (SELECT value FROM json_each(:but))
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = l.id AND a.ended_at_ms IS NULL)
  AND EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = l.id AND p.usable)
  AND NOT EXISTS (SELECT 1 FROM phones p JOIN attempts a ON a.number = p.number AND a.ended_at_ms IS NULL
                  WHERE p.lead_id = l.id)
ORDER BY l.next_at_ms, l.id
LIMIT :limit;

-- name: leads_by_id
SELECT l.id, l.campaign_id, l.state, l.priority, l.zone, l.attempts_count, l.next_at_ms, l.next_phone, l.owner, l.version,
  json_extract(l.fields, '$.language') AS language,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones,
  (SELECT json_group_array(a.outcome) FROM attempts a
   WHERE a.lead_id = l.id AND a.outcome IS NOT NULL) AS outcomes
FROM leads l WHERE l.id IN (SELECT value FROM json_each(:ids));

-- name: fields_of_leads
SELECT id, fields FROM leads WHERE id IN (SELECT value FROM json_each(:ids));

-- name: attempts_on_person
-- Over all campaigns: of this lead and of those that share a number with it.
SELECT a.lead_id, a.number, a.outcome, a.planned_at_ms, a.answered_at_ms, a.bridged_at_ms, a.ended_at_ms
FROM attempts a
WHERE a.lead_id IN (SELECT q.lead_id FROM phones p JOIN phones q ON q.number = p.number WHERE p.lead_id = :lead)
  AND a.planned_at_ms >= :since_ms
LIMIT :limit;

-- name: open_attempts
SELECT * FROM attempts WHERE ended_at_ms IS NULL ORDER BY planned_at_ms, id;

-- name: undisposed_attempts
-- Conversations that ended while their lead still waits for the agent's word: the last one of each lead.
SELECT a.*, c.agent_id AS talked_with
FROM calls c JOIN attempts a ON a.id = c.attempt_id JOIN leads l ON l.id = c.lead_id
WHERE c.disposition_id IS NULL AND a.ended_at_ms IS NOT NULL AND l.state = 'in_call'
  AND NOT EXISTS (SELECT 1 FROM attempts o WHERE o.lead_id = l.id AND o.rowid > a.rowid)
ORDER BY a.ended_at_ms, a.id;

-- name: logged_in_agents
SELECT id, state, wish FROM agents WHERE state <> 'logged_out' ORDER BY id;

-- name: campaign_runs
SELECT campaign_id, running FROM campaign_runs ORDER BY campaign_id;

-- name: learned_pacing
SELECT campaign_id, learned FROM pacing ORDER BY campaign_id;

-- name: answers_by_minute
-- As far back from the last answer as any legal period reaches. A judged machine answered too, but no person did.
SELECT answered_at_ms - answered_at_ms % 60000 AS minute_ms,
  sum(outcome IS NOT 'machine') AS live_answers, sum(outcome IS 'abandoned') AS abandoned,
  sum(outcome IS 'machine') AS machines
FROM attempts
WHERE campaign_id = :campaign AND answered_at_ms > (
  SELECT max(a.answered_at_ms) - :history_ms FROM attempts a
  WHERE a.campaign_id = :campaign AND a.answered_at_ms IS NOT NULL
)
GROUP BY minute_ms ORDER BY minute_ms;

-- name: touch
INSERT INTO revisions (subject, revision) VALUES (:subject, 1)
ON CONFLICT (subject) DO UPDATE SET revision = revision + 1;

-- name: revisions
SELECT subject, revision FROM revisions;

-- name: blocked_phones
SELECT lead_id, number FROM lead_phones
WHERE lead_id IN (SELECT value FROM json_each(:leads)) AND valid AND NOT usable;
