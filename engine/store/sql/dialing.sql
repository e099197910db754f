-- What the engine writes while it dials, and what it reads to dial on and to recover.
-- Every statement may run twice with the same values: a commit whose answer was lost is sent again.

-- name: next_epoch
INSERT INTO epochs (epoch, started_at_ms)
SELECT coalesce(max(epoch), 0) + 1, :at_ms FROM epochs
RETURNING epoch;

-- name: insert_attempt
INSERT INTO attempts (
  id, campaign_id, lead_id, phone_position, number, trunk_id, leg, state, planned_at_ms, agent_id, decision
) VALUES (
  :id, :campaign, :lead, :phone_position, :number, :trunk, :leg, :state, :planned_at_ms, :agent, :decision
)
ON CONFLICT (id) DO NOTHING;

-- name: insert_arrival
-- A leg that an older attempt has already (it was taken for ended) is told apart, for a leg's name is there once.
INSERT INTO attempts (
  id, campaign_id, phone_position, number, trunk_id, leg, state, planned_at_ms, accepted_at_ms, answered_at_ms,
  queue_id, counted
)
SELECT :id, :campaign, 0, :number, :trunk,
  :leg || CASE WHEN EXISTS (SELECT 1 FROM attempts a WHERE a.leg = :leg AND a.id <> :id) THEN '~' || :id ELSE '' END,
  :state, :at_ms, :at_ms, :at_ms, :queue, 0
WHERE true
ON CONFLICT (id) DO NOTHING;

-- name: attach_lead
UPDATE attempts SET lead_id = :lead,
  phone_position = coalesce((SELECT p.position FROM phones p WHERE p.lead_id = :lead AND p.number = attempts.number), 0)
WHERE id = :attempt AND lead_id IS NULL;

-- name: attach_lead_to_call
UPDATE calls SET lead_id = :lead WHERE attempt_id = :attempt AND lead_id IS NULL;

-- name: lead_called_in
-- They called and talk with an agent; not again when the agent has said how it went.
UPDATE leads SET state = 'in_call', hold = '', updated_at_ms = :at_ms, version = version + 1
WHERE id = :lead AND state NOT IN ('in_call', 'suppressed')
  AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.attempt_id = :attempt AND c.disposition_id IS NOT NULL);

-- name: insert_missed_lead
INSERT INTO leads (campaign_id, external_id, state, next_at_ms, created_at_ms, updated_at_ms)
SELECT a.campaign_id, 'call:' || a.id, 'new', :at_ms, :at_ms, :at_ms FROM attempts a
WHERE a.id = :attempt AND a.lead_id IS NULL AND NOT EXISTS (
  SELECT 1 FROM phones p JOIN leads l ON l.id = p.lead_id WHERE p.number = :number AND l.campaign_id = a.campaign_id);

-- name: insert_missed_phone
INSERT INTO phones (lead_id, position, number)
SELECT l.id, 0, :number FROM leads l
WHERE l.id = (SELECT max(id) FROM leads) AND l.external_id = 'call:' || :attempt
ON CONFLICT DO NOTHING;

-- name: attach_missed
-- To the lead of that number; of several, to the one that something happened to last.
UPDATE attempts SET lead_id = (
  SELECT l.id FROM phones p JOIN leads l ON l.id = p.lead_id
  WHERE p.number = :number AND l.campaign_id = attempts.campaign_id ORDER BY l.updated_at_ms DESC, l.id DESC LIMIT 1)
WHERE id = :attempt AND lead_id IS NULL;

-- name: call_back_missed
-- Who is on another call, or still owed a word of it, needs no second call; who asked for none gets none.
UPDATE leads SET state = 'callback', next_at_ms = :at_ms, hold = 'missed_call', owner = coalesce(owner, keeper),
    updated_at_ms = :at_ms, version = version + 1
WHERE id = (SELECT lead_id FROM attempts WHERE id = :attempt)
  AND state IN ('new', 'retry', 'callback', 'closed')
  AND EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: missed_moves_callback
UPDATE callbacks SET state = 'scheduled', due_at_ms = :at_ms
WHERE closed_at_ms IS NULL AND lead_id = (
  SELECT l.id FROM attempts a JOIN leads l ON l.id = a.lead_id WHERE a.id = :attempt AND l.state = 'callback');

-- name: insert_missed_callback
INSERT INTO callbacks (
  lead_id, campaign_id, attempt_id, promised_at_ms, due_at_ms, owner, state, created_at_ms, created_by
)
SELECT l.id, l.campaign_id, a.id, :at_ms, :at_ms, l.owner, 'scheduled', :at_ms, 'missed_call'
FROM attempts a JOIN leads l ON l.id = a.lead_id
WHERE a.id = :attempt AND l.state = 'callback'
  AND NOT EXISTS (SELECT 1 FROM callbacks b WHERE b.lead_id = l.id AND b.closed_at_ms IS NULL)
ON CONFLICT (attempt_id, created_at_ms) DO NOTHING;

-- name: claim_lead
UPDATE leads
SET state = 'dialing', hold = '', line = NULL, next_phone = :phone_position, updated_at_ms = :at_ms, version = version + 1,
    attempts_count = (
      SELECT count(*) FROM attempts a
      WHERE a.lead_id = leads.id AND a.counted = 1 AND a.planned_at_ms >= leads.tries_since_ms)
WHERE id = :lead AND EXISTS (SELECT 1 FROM attempts a WHERE a.id = :attempt AND a.ended_at_ms IS NULL);

-- name: callbacks_due_now
UPDATE callbacks SET state = 'due'
WHERE lead_id = :lead AND closed_at_ms IS NULL AND due_at_ms <= :at_ms;

-- name: answer_attempt
UPDATE attempts
SET state = :state, accepted_at_ms = :accepted_at_ms, ringing_at_ms = :ringing_at_ms,
    answered_at_ms = :answered_at_ms, bridged_at_ms = :bridged_at_ms, agent_id = :agent, verdict = :verdict
WHERE id = :id AND ended_at_ms IS NULL;

-- name: take_attempt_back
UPDATE attempts SET state = 'leaving', taken_back_at_ms = :at_ms WHERE id = :attempt AND ended_at_ms IS NULL;

-- name: save_call
-- A customer whose agent was lost may be given to another one: the call is the last one's.
INSERT INTO calls (attempt_id, campaign_id, lead_id, agent_id, bridged_at_ms)
VALUES (:attempt, :campaign, :lead, :agent, :bridged_at_ms)
ON CONFLICT (attempt_id) DO UPDATE SET agent_id = excluded.agent_id, bridged_at_ms = excluded.bridged_at_ms
WHERE (agent_id, bridged_at_ms) <> (excluded.agent_id, excluded.bridged_at_ms);

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
SET attempts_count = (
      SELECT count(*) FROM attempts a
      WHERE a.lead_id = leads.id AND a.counted = 1 AND a.planned_at_ms >= leads.tries_since_ms)
WHERE id = :lead;

-- name: callbacks_kept
-- Not what was promised in this conversation, or in a later one: by a clock that was set back meanwhile it may have been
-- due before this one began.
UPDATE callbacks SET state = 'done', closed_at_ms = :at_ms, closed_by = :attempt
WHERE lead_id = :lead AND closed_at_ms IS NULL AND due_at_ms <= :planned_at_ms
  AND NOT EXISTS (SELECT 1 FROM attempts this JOIN attempts made ON made.rowid >= this.rowid
                  WHERE this.id = :attempt AND made.id = callbacks.attempt_id);

-- name: change_lead
UPDATE leads
SET state = :state, next_at_ms = coalesce(:next_at_ms, next_at_ms), next_phone = coalesce(:next_phone, next_phone),
    owner = :owner, hold = :rule, priority = coalesce(:priority, priority), updated_at_ms = :at_ms, version = version + 1
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
UPDATE leads SET state = 'suppressed', hold = '', updated_at_ms = :at_ms, version = version + 1
WHERE queue_rank IS NOT NULL
  AND id IN (SELECT q.lead_id FROM phones p JOIN phones q ON q.number = p.number WHERE p.lead_id = :lead)
  AND NOT EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: suppress_unreachable
-- While it was called, all its numbers came onto do-not-call lists.
UPDATE leads SET state = 'suppressed', hold = '', updated_at_ms = :at_ms, version = version + 1
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
UPDATE leads SET state = 'suppressed', hold = '', updated_at_ms = :at_ms, version = version + 1
WHERE id = (SELECT a.lead_id FROM attempts a WHERE a.id = :attempt) AND state <> 'suppressed'
  OR queue_rank IS NOT NULL
  AND id IN (SELECT q.lead_id FROM attempts a JOIN phones p ON p.lead_id = a.lead_id JOIN phones q ON q.number = p.number
             WHERE a.id = :attempt)
  AND NOT EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = leads.id AND p.usable);

-- name: callbacks_off_of_attempt
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = 'customer'
WHERE closed_at_ms IS NULL
  AND lead_id IN (SELECT a.lead_id FROM attempts a WHERE a.id = :attempt
                  UNION
                  SELECT q.lead_id FROM attempts a JOIN phones p ON p.lead_id = a.lead_id JOIN phones q ON q.number = p.number
                  WHERE a.id = :attempt)
  AND lead_id IN (SELECT l.id FROM leads l WHERE l.id = callbacks.lead_id AND l.state = 'suppressed');

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

-- name: note_callback_change
-- How the lead was, so that the change can be taken back.
INSERT INTO callback_changes (lead_id, at_ms, login, was_state, was_next_at_ms, was_owner, due_at_ms, owner)
SELECT :lead, :at_ms, :by, l.state, l.next_at_ms, l.owner, :due_at_ms, :owner
FROM leads l WHERE l.id = :lead AND l.state <> 'suppressed'
ON CONFLICT (lead_id, at_ms) DO NOTHING;

-- name: plans_off
-- The earlier promise; not the one that this very write has made, if it is written again.
UPDATE callbacks SET state = 'cancelled', closed_at_ms = :at_ms, closed_by = :by
WHERE lead_id = :lead AND closed_at_ms IS NULL AND NOT (attempt_id IS NULL AND created_at_ms = :at_ms);

-- name: plan_callback
INSERT INTO callbacks (lead_id, campaign_id, promised_at_ms, due_at_ms, owner, state, created_at_ms, created_by)
SELECT :lead, l.campaign_id, :due_at_ms, :due_at_ms, :owner, 'scheduled', :at_ms, :by
FROM leads l WHERE l.id = :lead AND l.state = 'callback'
  AND NOT EXISTS (SELECT 1 FROM callbacks b WHERE b.lead_id = :lead AND b.closed_at_ms IS NULL);

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

-- name: save_recording
INSERT INTO recordings (name, attempt_id, bridge, started_at_ms, paused, ended_at_ms, ended_in)
VALUES (:name, :attempt, :bridge, :started_at_ms, :paused, :ended_at_ms,
        CASE WHEN :ended_at_ms IS NOT NULL THEN (SELECT max(epoch) FROM epochs) END)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, ended_at_ms = coalesce(ended_at_ms, excluded.ended_at_ms),
  ended_in = coalesce(ended_in, excluded.ended_in);

-- name: open_recordings
SELECT * FROM recordings WHERE ended_at_ms IS NULL ORDER BY started_at_ms, name;

-- name: recordings_ended_last
-- Of the last engine that ended any: only its times are of one clock.
WITH last AS (SELECT ended_in, ended_at_ms FROM recordings WHERE ended_in IS NOT NULL
              ORDER BY ended_in DESC, ended_at_ms DESC LIMIT 1)
SELECT r.* FROM last JOIN recordings r ON r.ended_in = last.ended_in AND r.ended_at_ms > last.ended_at_ms - :within_ms
ORDER BY r.ended_at_ms, r.name;

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

-- name: line_of
SELECT made_by, turns FROM lines WHERE campaign_id = :campaign;

-- name: save_line
INSERT INTO lines (campaign_id, made_by, turns) VALUES (:campaign, :made_by, :turns)
ON CONFLICT (campaign_id) DO UPDATE SET made_by = excluded.made_by, turns = excluded.turns;

-- name: leave_line
-- A piece of it: the order has changed.
UPDATE leads SET line = NULL
WHERE id IN (SELECT l.id FROM leads l WHERE l.campaign_id = :campaign AND l.line IS NOT NULL LIMIT :limit)
RETURNING id;

-- name: forget_line
DELETE FROM lines WHERE campaign_id = :campaign;

-- name: to_line_up
-- Whose time has come, and who has no place yet.
SELECT l.id, l.version, l.priority, l.attempts_count, l.next_at_ms, l.created_at_ms, l.zone, l.fields, l.tags, l.source, l.list,
  CASE WHEN l.zone IS NULL THEN (SELECT json_group_array(p.number) FROM phones p WHERE p.lead_id = l.id) END AS numbers
FROM leads l
WHERE l.campaign_id = :campaign AND l.next_at_ms <= :now_ms AND l.line IS NULL AND l.state IN ('new', 'retry')
ORDER BY l.next_at_ms, l.id LIMIT :limit;

-- name: keep_zones
INSERT INTO zone_sets (zones) VALUES (:zones) ON CONFLICT (zones) DO NOTHING;

-- name: join_line
UPDATE leads SET line = :line, hold = '', line_zone = coalesce((SELECT '#' || s.id FROM zone_sets s WHERE s.zones = :zones), :zones)
WHERE id = :id AND version = :version AND line IS NULL AND state IN ('new', 'retry') AND next_at_ms <= :now_ms;

-- name: next_times
-- When the next lead becomes due that is not yet, and the next promised call.
SELECT
  (SELECT min(l.next_at_ms) FROM leads l
   WHERE l.campaign_id = :campaign AND l.line IS NULL AND l.state IN ('new', 'retry')) AS due_at_ms,
  (SELECT min(l.next_at_ms) FROM leads l
   WHERE l.campaign_id = :campaign AND l.next_at_ms > :now_ms AND l.state = 'callback') AS callback_at_ms;

-- name: zones_in_line
-- By hops over the index; '' where nothing tells the zone.
WITH RECURSIVE hops (zone) AS (
  SELECT (SELECT l.line_zone FROM leads l
          WHERE l.campaign_id = :campaign AND l.line IS NOT NULL ORDER BY l.line_zone LIMIT 1)
  UNION ALL
  SELECT (SELECT l.line_zone FROM leads l
          WHERE l.campaign_id = :campaign AND l.line IS NOT NULL AND l.line_zone > hops.zone ORDER BY l.line_zone LIMIT 1)
  FROM hops WHERE hops.zone IS NOT NULL
)
SELECT zone AS line_zone, coalesce((SELECT s.zones FROM zone_sets s WHERE s.id = substr(zone, 2) + 0 AND zone LIKE '#%'), zone) AS zones
FROM hops WHERE zone IS NOT NULL;

-- name: first_in_line
-- The best of one zone by the index alone; none that is, or shares a number with, a live call.
SELECT l.line, l.id FROM leads l
WHERE l.campaign_id = :campaign AND l.line_zone = :zone AND l.line IS NOT NULL
  AND l.id NOT IN (SELECT value FROM json_each(:but))
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = l.id AND a.ended_at_ms IS NULL)
  AND EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = l.id AND p.usable)
  AND NOT EXISTS (SELECT 1 FROM phones p JOIN attempts a ON a.number = p.number
                  WHERE p.lead_id = l.id AND a.ended_at_ms IS NULL AND a.queue_id IS NULL)
  AND NOT EXISTS (SELECT 1 FROM phones p JOIN attempts a ON a.number = p.number
                  WHERE p.lead_id = l.id AND a.ended_at_ms IS NULL AND a.queue_id IS NOT NULL)
ORDER BY l.line, l.id
LIMIT :limit;

-- name: first_promised
-- Promised calls whose time has come, earliest first.
SELECT l.id FROM leads l
WHERE l.campaign_id = :campaign AND l.state = 'callback' AND l.next_at_ms <= :now_ms
  AND l.id NOT IN (SELECT value FROM json_each(:but))
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = l.id AND a.ended_at_ms IS NULL)
  AND EXISTS (SELECT 1 FROM lead_phones p WHERE p.lead_id = l.id AND p.usable)
  AND NOT EXISTS (SELECT 1 FROM phones p JOIN attempts a ON a.number = p.number
                  WHERE p.lead_id = l.id AND a.ended_at_ms IS NULL AND a.queue_id IS NULL)
  AND NOT EXISTS (SELECT 1 FROM phones p JOIN attempts a ON a.number = p.number
                  WHERE p.lead_id = l.id AND a.ended_at_ms IS NULL AND a.queue_id IS NOT NULL)
ORDER BY l.next_at_ms, l.id
LIMIT :limit;

-- name: leads_by_id
SELECT l.id, l.campaign_id, l.state, l.priority, l.zone, l.attempts_count, l.next_at_ms, l.next_phone, l.owner, l.keeper,
  l.version, l.updated_at_ms,
  json_extract(l.fields, '$.language') AS language,
  (SELECT json_group_array(json_array(p.position, p.number, p.usable, p.type)) FROM lead_phones p WHERE p.lead_id = l.id) AS phones,
  (SELECT json_group_array(a.outcome) FROM attempts a
   WHERE a.lead_id = l.id AND a.queue_id IS NULL AND a.outcome IS NOT NULL AND a.planned_at_ms >= l.tries_since_ms) AS outcomes
FROM leads l WHERE l.id IN (SELECT value FROM json_each(:ids));

-- name: fields_of_leads
SELECT id, fields FROM leads WHERE id IN (SELECT value FROM json_each(:ids));

-- name: attempts_on_person
-- Over all campaigns: of this lead and of those that share a number with it.
SELECT a.lead_id, a.number, a.outcome, a.planned_at_ms, a.answered_at_ms, a.bridged_at_ms, a.ended_at_ms
FROM attempts a
WHERE a.lead_id IN (SELECT q.lead_id FROM phones p JOIN phones q ON q.number = p.number WHERE p.lead_id = :lead)
  AND a.planned_at_ms >= :since_ms AND a.queue_id IS NULL  -- the law binds our calls, not theirs
LIMIT :limit;

-- name: open_attempts
SELECT a.*, (SELECT c.disposition_id FROM calls c WHERE c.attempt_id = a.id) AS disposition_id
FROM attempts a WHERE a.ended_at_ms IS NULL ORDER BY a.planned_at_ms, a.id;

-- name: callers
-- Leads with that number: the campaign's own first, then those that something happened to last.
SELECT DISTINCT l.id, l.campaign_id, l.updated_at_ms FROM phones p JOIN leads l ON l.id = p.lead_id
WHERE p.number = :number ORDER BY l.campaign_id <> :campaign, l.updated_at_ms DESC, l.id LIMIT :limit;

-- name: undisposed_attempts
-- Conversations that ended while their lead still waits for the agent's word: the last one of each lead. Calls to it that
-- came to no conversation are no matter: whoever called us may have been recognised after one of them.
SELECT a.*, c.agent_id AS talked_with
FROM calls c JOIN attempts a ON a.id = c.attempt_id JOIN leads l ON l.id = c.lead_id
WHERE c.disposition_id IS NULL AND a.ended_at_ms IS NOT NULL AND l.state = 'in_call'
  AND NOT EXISTS (SELECT 1 FROM attempts o JOIN calls k ON k.attempt_id = o.id
                  WHERE o.lead_id = l.id AND o.rowid > a.rowid AND k.disposition_id IS NULL)
ORDER BY a.ended_at_ms, a.id;

-- name: logged_in_agents
SELECT id, state, wish FROM agents WHERE state <> 'logged_out' ORDER BY id;

-- name: campaign_runs
SELECT campaign_id, running FROM campaign_runs ORDER BY campaign_id;

-- name: learned_pacing
SELECT campaign_id, learned FROM pacing ORDER BY campaign_id;

-- name: checked_verdicts
-- Calls judged machines that agents took and gave a word to, the newest first.
SELECT a.id, a.answered_at_ms, c.disposition_id
FROM attempts a JOIN calls c ON c.attempt_id = a.id
WHERE a.campaign_id = :campaign AND a.verdict = 'machine' AND a.bridged_at_ms IS NOT NULL AND c.disposition_id IS NOT NULL
ORDER BY a.answered_at_ms DESC LIMIT :limit;

-- name: answers_by_minute
-- As far back from the last answer as any legal period reaches. A judged machine answered too, but no person did; one
-- that an agent took to see is an answer as any other, and who is still being judged is none yet.
SELECT answered_at_ms - answered_at_ms % 60000 AS minute_ms,
  sum(outcome IS NOT 'machine' AND state <> 'screening'
      AND NOT (outcome IS NULL AND verdict IS 'machine' AND bridged_at_ms IS NULL)) AS live_answers, sum(outcome IS 'abandoned') AS abandoned,
  sum(outcome IS 'machine') AS machines
FROM attempts
WHERE campaign_id = :campaign AND queue_id IS NULL AND answered_at_ms > (
  SELECT max(a.answered_at_ms) - :history_ms FROM attempts a
  WHERE a.campaign_id = :campaign AND a.queue_id IS NULL AND a.answered_at_ms IS NOT NULL
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

-- name: number_listed
SELECT 1 AS listed FROM suppressions WHERE number = :number AND list IN ('system', 'campaign:' || :campaign) LIMIT 1;

-- name: insert_hand_out
INSERT INTO hand_outs (attempt_id, agent_id, number, trunk_id, at_ms) VALUES (:attempt, :agent, :number, :trunk, :at_ms)
ON CONFLICT (attempt_id, at_ms) DO NOTHING;

-- name: held_by_rule
-- All leads by state and what they wait for or were closed by, along an index that has them in this order.
SELECT state, hold, count(*) AS leads FROM leads WHERE campaign_id = :campaign GROUP BY state, hold;

-- name: due_in_line
SELECT c.zone, c.leads, coalesce((SELECT s.zones FROM zone_sets s WHERE s.id = substr(c.zone, 2) + 0 AND c.zone LIKE '#%'), c.zone) AS zones
FROM (SELECT line_zone AS zone, count(*) AS leads FROM leads
      WHERE campaign_id = :campaign AND line IS NOT NULL GROUP BY line_zone) c;

-- name: due_not_in_line
-- Whose time has come since the line was last looked at: few while the engine runs.
SELECT state, hold, coalesce(zone, '') AS zone, count(*) AS leads FROM leads
WHERE campaign_id = :campaign AND next_at_ms <= :now_ms AND line IS NULL AND state IN ('new', 'retry')
GROUP BY state, hold, coalesce(zone, '');

-- name: due_promised
SELECT state, hold, coalesce(zone, '') AS zone, count(*) AS leads FROM leads
WHERE campaign_id = :campaign AND next_at_ms <= :now_ms AND state = 'callback' GROUP BY hold, coalesce(zone, '');

-- name: held_leads
SELECT id FROM leads
WHERE campaign_id = :campaign AND state IN (SELECT value FROM json_each(:states)) AND hold = :hold
  AND (:waits_at_ms IS NULL OR (next_at_ms > :waits_at_ms AND line IS NULL))
LIMIT :limit OFFSET :offset;

-- name: due_of_zones
-- Of all due leads, those in the given zones.
SELECT id FROM (
  SELECT l.id FROM json_each(:zones) z CROSS JOIN leads l
  WHERE l.campaign_id = :campaign AND l.line_zone = z.value AND l.line IS NOT NULL
  UNION ALL
  SELECT l.id FROM leads l
  WHERE l.campaign_id = :campaign AND l.next_at_ms <= :now_ms AND l.line IS NULL AND l.state IN ('new', 'retry')
    AND coalesce(l.zone, '') IN (SELECT value FROM json_each(:zones))
  UNION ALL
  SELECT l.id FROM leads l
  WHERE l.campaign_id = :campaign AND l.next_at_ms <= :now_ms AND l.state = 'callback'
    AND coalesce(l.zone, '') IN (SELECT value FROM json_each(:zones))
) LIMIT :limit OFFSET :offset;

-- name: recycle
-- Closed leads are called again with all their tries; who is on a do-not-call list is not closed but suppressed.
UPDATE leads SET state = 'retry', hold = 'recycled', next_at_ms = :at_ms, tries_since_ms = :at_ms, attempts_count = 0,
  owner = NULL, updated_at_ms = :at_ms, version = version + 1
WHERE id IN (SELECT l.id FROM leads l WHERE l.campaign_id = :campaign AND l.state = 'closed' AND l.hold = :rule LIMIT :limit)
RETURNING id;

-- name: closed_rules
SELECT hold, count(*) AS leads FROM leads WHERE campaign_id = :campaign AND state = 'closed' GROUP BY hold;
