-- Each query of a rule answers with its violations only: `what`, in words, and the `ids` that prove it.

-- name: overlapping_by_lead
SELECT 'lead ' || lead_id || ' is dialed while a call to it lives' AS what, before_id || ' ' || id AS ids FROM (
  SELECT id, lead_id, planned_at_ms, lag(id) OVER w AS before_id,
         max(coalesce(ended_at_ms, 9000000000000000)) OVER (
           PARTITION BY lead_id ORDER BY planned_at_ms, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS busy_until_ms
  FROM attempts WHERE queue_id IS NULL WINDOW w AS (PARTITION BY lead_id ORDER BY planned_at_ms, id)
) AS tries WHERE planned_at_ms < busy_until_ms LIMIT :limit;

-- name: overlapping_by_number
SELECT 'a number is dialed while a call to it lives' AS what, before_id || ' ' || id AS ids FROM (
  SELECT id, planned_at_ms, lag(id) OVER w AS before_id,
         max(coalesce(ended_at_ms, 9000000000000000)) OVER (
           PARTITION BY number ORDER BY planned_at_ms, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS busy_until_ms
  FROM attempts WHERE queue_id IS NULL WINDOW w AS (PARTITION BY number ORDER BY planned_at_ms, id)
) AS tries WHERE planned_at_ms < busy_until_ms LIMIT :limit;

-- name: miscounted
SELECT 'lead ' || l.id || ' shows ' || l.attempts_count || ' tries, its attempts are ' || count(a.id) AS what,
       coalesce(group_concat(a.id, ' '), '') AS ids
FROM leads l LEFT JOIN attempts a ON a.lead_id = l.id AND a.counted = 1 AND a.planned_at_ms >= l.tries_since_ms
GROUP BY l.id HAVING l.attempts_count <> count(a.id) LIMIT :limit;

-- name: counted_wrongly
SELECT 'an attempt that ' || CASE counted WHEN 1 THEN 'spends no' ELSE 'spends a' END || ' try is counted otherwise' AS what,
       id AS ids
FROM attempts
WHERE outcome IS NOT NULL AND counted = (queue_id IS NOT NULL OR outcome IN ('congestion', 'failed', 'cancelled'))
LIMIT :limit;

-- name: tried_too_often
SELECT 'lead ' || a.lead_id || ' was tried ' || count(*) || ' times of ' || :attempts_max AS what,
       group_concat(a.id, ' ') AS ids
FROM attempts a JOIN leads l ON l.id = a.lead_id AND a.planned_at_ms >= l.tries_since_ms
WHERE a.campaign_id = :campaign AND a.counted = 1 GROUP BY a.lead_id HAVING count(*) > :attempts_max LIMIT :limit;

-- name: dialed_though_suppressed
SELECT 'a number was dialed after its do-not-call entry' AS what, a.id AS ids
FROM suppressions s JOIN attempts a ON a.number = s.number JOIN leads l ON l.id = a.lead_id
WHERE a.queue_id IS NULL AND a.planned_at_ms > s.at_ms + :grace_ms
  AND s.list IN ('system', 'campaign:' || l.campaign_id, 'partner:' || l.source)
LIMIT :limit;

-- name: listed_attempts
SELECT a.id, a.number, min(s.at_ms) AS listed_at_ms
FROM suppressions s JOIN attempts a ON a.number = s.number JOIN leads l ON l.id = a.lead_id
WHERE a.queue_id IS NULL AND s.list IN ('system', 'campaign:' || l.campaign_id, 'partner:' || l.source)
GROUP BY a.id;

-- name: damaged
SELECT 'the file is damaged: ' || integrity_check AS what, '' AS ids
FROM pragma_integrity_check WHERE integrity_check <> 'ok' LIMIT :limit;

-- name: torn
SELECT 'a row of ' || f."table" || ' refers to one of ' || f.parent || ' that is not there' AS what,
       coalesce(CASE f."table"
         WHEN 'attempts' THEN (SELECT id FROM attempts WHERE rowid = f.rowid)
         WHEN 'calls' THEN (SELECT attempt_id FROM calls WHERE rowid = f.rowid)
         WHEN 'callbacks' THEN (SELECT attempt_id FROM callbacks WHERE rowid = f.rowid)
       END, '') AS ids
FROM pragma_foreign_key_check AS f LIMIT :limit;

-- name: order_against_its_changes
SELECT 'a client''s order is not as its last change left it' AS what, 'order:' || o.id AS ids
FROM client_orders o
LEFT JOIN client_order_versions v ON v.order_id = o.id AND v.version = o.version AND v.state = o.state AND v.fields = o.fields
WHERE v.key IS NULL LIMIT :limit;

-- name: said_of_no_call
SELECT 'a disposition was saved, its conversation was not' AS what, d.attempt_id AS ids
FROM dispositions d LEFT JOIN calls c ON c.attempt_id = d.attempt_id WHERE c.attempt_id IS NULL LIMIT :limit;

-- name: dialed_while_draining
SELECT 'dialed by an engine that was asked to end' AS what, a.id AS ids
FROM audit d JOIN attempts a ON a.planned_at_ms > d.at_ms
  AND a.planned_at_ms < coalesce((SELECT min(e.started_at_ms) FROM epochs e WHERE e.started_at_ms > d.at_ms), 9000000000000000)
WHERE d.action = 'draining' AND a.queue_id IS NULL LIMIT :limit;  -- who calls us is taken to the end

-- name: cut_short
-- We took it back, or its end was seen and had no SIP code: no carrier's.
SELECT 'rang ' || rang_ms || ' ms of ' || :ring_min_ms || ' and was ended by us' AS what, id AS ids FROM (
  SELECT id, coalesce(taken_back_at_ms, CASE WHEN tech_cause IS NULL AND cause IS NOT NULL THEN ended_at_ms END)
             - coalesce(ringing_at_ms, accepted_at_ms) AS rang_ms
  FROM attempts WHERE campaign_id = :campaign AND outcome = 'no_answer')
WHERE rang_ms < :ring_min_ms - :grace_ms LIMIT :limit;

-- name: recorded_outside_talk
SELECT CASE
    WHEN a.bridged_at_ms IS NULL THEN 'a recording of a call that nobody talked on'
    WHEN r.started_at_ms > a.ended_at_ms THEN 'a recording begun after its conversation'
    ELSE 'a recording that outlives its conversation'
  END AS what, a.id AS ids
FROM recordings r JOIN attempts a ON a.id = r.attempt_id
WHERE a.bridged_at_ms IS NULL OR r.started_at_ms > a.ended_at_ms
   OR (a.ended_at_ms IS NOT NULL AND coalesce(r.ended_at_ms, 9000000000000000) > a.ended_at_ms + :grace_ms)
LIMIT :limit;

-- name: recorded_twice
SELECT 'two recordings of one ' || room || ' at once' AS what, before_id || ' ' || attempt_id AS ids FROM (
  SELECT room, attempt_id, started_at_ms, lag(ended_at_ms, 1, 0) OVER w AS free_ms, lag(name) OVER w AS before_name,
         lag(attempt_id) OVER w AS before_id
  FROM (SELECT 'conversation' AS room, attempt_id AS of, * FROM recordings
        UNION ALL SELECT 'bridge' AS room, bridge AS of, * FROM recordings)
  WINDOW w AS (PARTITION BY room, of ORDER BY started_at_ms, name)
) AS takes WHERE before_name IS NOT NULL AND coalesce(free_ms, 9000000000000000) > started_at_ms LIMIT :limit;

-- name: recorded_against_the_rule
SELECT 'a recording, though campaign ' || a.campaign_id || ' is never recorded' AS what, a.id AS ids
FROM recordings r JOIN attempts a ON a.id = r.attempt_id WHERE a.campaign_id = :campaign LIMIT :limit;

-- name: engine_starts
SELECT started_at_ms FROM epochs ORDER BY started_at_ms;

-- name: agent_states
SELECT agent_id, at_ms, state FROM agent_log ORDER BY at_ms, agent_id;

-- name: not_final
SELECT 'state and outcome disagree' AS what, id AS ids FROM attempts
WHERE (state = 'ended') <> (outcome IS NOT NULL) LIMIT :limit;

-- name: operators_word_lost
SELECT 'the call shows ' || coalesce(c.disposition_id, 'no disposition') || ', the operator said last '
         || d.disposition_id AS what, c.attempt_id AS ids
FROM calls c JOIN dispositions d ON d.attempt_id = c.attempt_id
WHERE d.at_ms = (SELECT max(l.at_ms) FROM dispositions l WHERE l.attempt_id = c.attempt_id)
  AND (c.disposition_id IS NOT d.disposition_id OR c.note IS NOT d.note) LIMIT :limit;

-- name: outcome_against_facts
SELECT CASE
    WHEN outcome = 'connected' AND bridged_at_ms IS NULL THEN 'connected, but never bridged'
    WHEN outcome IN ('abandoned', 'hung_up_early') AND answered_at_ms IS NULL THEN outcome || ', but never answered'
    WHEN outcome IN ('left_queue', 'turned_away', 'out_of_hours') AND bridged_at_ms IS NOT NULL THEN outcome || ', but bridged'
    WHEN outcome IN ('left_queue', 'turned_away', 'out_of_hours') AND queue_id IS NULL THEN outcome || ', but we called'
    ELSE 'answered, but ended as ' || outcome
  END AS what, id AS ids
FROM attempts
WHERE (outcome = 'connected' AND bridged_at_ms IS NULL)
   OR (outcome IN ('abandoned', 'hung_up_early') AND (answered_at_ms IS NULL OR bridged_at_ms IS NOT NULL))
   OR (outcome IN ('left_queue', 'turned_away', 'out_of_hours') AND (queue_id IS NULL OR bridged_at_ms IS NOT NULL))
   OR (answered_at_ms IS NOT NULL AND queue_id IS NULL
       AND outcome NOT IN ('connected', 'abandoned', 'hung_up_early', 'machine', 'lost'))
   OR (queue_id IS NOT NULL AND outcome NOT IN ('connected', 'left_queue', 'turned_away', 'out_of_hours', 'lost'))
LIMIT :limit;

-- name: connected_without_call
SELECT 'connected, but there is no call row' AS what, a.id AS ids
FROM attempts a LEFT JOIN calls c ON c.attempt_id = a.id
WHERE a.bridged_at_ms IS NOT NULL AND c.attempt_id IS NULL LIMIT :limit;

-- name: call_outlives_leg
SELECT 'the call and its attempt do not end together' AS what, a.id AS ids
FROM calls c JOIN attempts a ON a.id = c.attempt_id WHERE a.ended_at_ms IS NOT c.ended_at_ms LIMIT :limit;

-- name: talking_to_nobody
SELECT 'agent ' || g.id || ' is ' || g.state || ' without a live customer' AS what, coalesce(g.attempt_id, '') AS ids
FROM agents g LEFT JOIN attempts a ON a.id = g.attempt_id
WHERE g.state IN ('talking', 'reserved') AND (a.id IS NULL OR a.ended_at_ms < :now_ms - :grace_ms) LIMIT :limit;

-- name: talked_to_nobody
SELECT 'agent ' || l.agent_id || ' stayed talking ' || (l.next_ms - a.ended_at_ms) || ' ms after the customer left' AS what,
       a.id AS ids
FROM (SELECT agent_id, state, attempt_id, lead(at_ms) OVER (PARTITION BY agent_id ORDER BY at_ms) AS next_ms
      FROM agent_log) AS l
JOIN attempts a ON a.id = l.attempt_id
WHERE l.state = 'talking' AND l.next_ms > a.ended_at_ms + :grace_ms LIMIT :limit;

-- name: two_customers
-- Who handed their customer on, or lost their phone, has let go of them, though the call shows their name until somebody
-- else takes it. If the phone was lost while no engine ran, the next one does not find them with that customer.
WITH held AS (
  SELECT c.attempt_id, c.agent_id, c.bridged_at_ms,
         min(coalesce(c.ended_at_ms, 9000000000000000),
             coalesce((SELECT min(t.at_ms) FROM audit t
                       WHERE t.subject = c.attempt_id AND t.action = 'call_transferred' AND t.at_ms >= c.bridged_at_ms),
                      9000000000000000),
             coalesce((SELECT min(g.at_ms) FROM agent_log g
                       WHERE g.agent_id = c.agent_id AND g.at_ms >= c.bridged_at_ms AND g.state = 'logged_out'),
                      9000000000000000),
             coalesce((SELECT min(e.started_at_ms) FROM epochs e
                       WHERE e.started_at_ms >= c.bridged_at_ms AND c.attempt_id IS NOT
                         (SELECT g.attempt_id FROM agent_log g
                          WHERE g.agent_id = c.agent_id AND g.at_ms >= e.started_at_ms ORDER BY g.at_ms LIMIT 1)),
                      9000000000000000)) AS free_ms
  FROM calls c
)
SELECT 'agent ' || agent_id || ' has two customers at once' AS what, before_id || ' ' || attempt_id AS ids FROM (
  SELECT attempt_id, agent_id, bridged_at_ms, lag(attempt_id) OVER w AS before_id,
         max(free_ms) OVER (PARTITION BY agent_id ORDER BY bridged_at_ms, attempt_id
                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS busy_until_ms
  FROM held WINDOW w AS (PARTITION BY agent_id ORDER BY bridged_at_ms, attempt_id)
) AS talks WHERE bridged_at_ms < busy_until_ms LIMIT :limit;

-- name: still_open
SELECT 'the attempt is open since ' || planned_at_ms AS what, id AS ids
FROM attempts WHERE ended_at_ms IS NULL AND planned_at_ms <= :before_ms LIMIT :limit;

-- name: stranded_leads
SELECT 'lead ' || l.id || ' is ' || l.state || ', but nobody has it' AS what,
       coalesce((SELECT a.id FROM attempts a WHERE a.lead_id = l.id ORDER BY a.planned_at_ms DESC LIMIT 1), '') AS ids
FROM leads l
WHERE l.state IN ('dialing', 'in_call')
  AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.lead_id = l.id AND a.ended_at_ms IS NULL)
  AND NOT EXISTS (SELECT 1 FROM calls c WHERE c.lead_id = l.id AND c.disposition_id IS NULL AND l.state = 'in_call')
LIMIT :limit;

-- name: open_but_not_claimed
SELECT 'lead ' || l.id || ' may be dialed (' || l.state || ') while a call to it lives' AS what, a.id AS ids
FROM attempts a JOIN leads l ON l.id = a.lead_id
WHERE a.ended_at_ms IS NULL AND l.state = 'new' AND (a.queue_id IS NULL OR a.bridged_at_ms IS NOT NULL) LIMIT :limit;

-- name: callbacks_forgotten
SELECT 'a callback of lead ' || b.lead_id || ' is open, but the lead is ' || l.state AS what, coalesce(b.attempt_id, '') AS ids
FROM callbacks b JOIN leads l ON l.id = b.lead_id
WHERE b.closed_at_ms IS NULL AND l.state NOT IN ('callback', 'dialing', 'in_call') LIMIT :limit;

-- name: callbacks_past_due
SELECT 'lead ' || l.id || ' waits for a callback that was due at ' || l.next_at_ms AS what, coalesce(b.attempt_id, '') AS ids
FROM leads l LEFT JOIN callbacks b ON b.lead_id = l.id AND b.closed_at_ms IS NULL
WHERE l.state = 'callback' AND (b.id IS NULL OR l.next_at_ms < :before_ms) LIMIT :limit;

-- name: out_of_order
SELECT 'the times of the attempt run backwards' AS what, id AS ids FROM attempts
WHERE accepted_at_ms < planned_at_ms OR ringing_at_ms < planned_at_ms OR answered_at_ms < planned_at_ms
   OR bridged_at_ms < answered_at_ms OR ended_at_ms < planned_at_ms
   OR ended_at_ms < answered_at_ms OR ended_at_ms < bridged_at_ms
LIMIT :limit;

-- name: hand_outs
-- Calls that the switch may have made for customers who were handed on, as far as the carrier's record can tell.
SELECT h.attempt_id AS id, h.number, h.at_ms AS planned_at_ms, a.ended_at_ms, NULL AS answered_at_ms
FROM hand_outs h JOIN attempts a ON a.id = h.attempt_id;

-- name: attempts_page
SELECT a.id, a.campaign_id, a.lead_id, a.number, a.trunk_id, a.planned_at_ms, a.accepted_at_ms, a.answered_at_ms,
       a.bridged_at_ms, a.taken_back_at_ms, a.ended_at_ms, a.outcome, a.decision, a.leg, l.zone
FROM attempts a JOIN leads l ON l.id = a.lead_id
WHERE a.id > :after AND a.queue_id IS NULL ORDER BY a.id LIMIT :limit;

-- name: audit_pages
SELECT * FROM audit WHERE seq > :after ORDER BY seq LIMIT :limit;
