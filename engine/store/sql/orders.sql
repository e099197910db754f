-- Clients' orders.

-- name: orders_of_lead
SELECT * FROM client_orders WHERE lead_id = :lead AND taken_back = 0 ORDER BY id DESC LIMIT :limit;

-- name: count_orders
SELECT count(*) AS orders FROM client_orders WHERE lead_id = :lead AND taken_back = 0;

-- name: order_by_id
SELECT * FROM client_orders WHERE id = :order;

-- name: order_by_key
SELECT o.* FROM client_order_versions v JOIN client_orders o ON o.id = v.order_id WHERE v.key = :key;

-- name: version_of_order
SELECT state, fields FROM client_order_versions WHERE order_id = :order AND version = :version;

-- name: insert_order
-- Of a command that is carried out twice there is one. A call with another client is no call of this order.
INSERT INTO client_orders (lead_id, attempt_id, state, fields, created_at_ms, created_by, updated_at_ms, updated_by)
SELECT :lead, (SELECT a.id FROM attempts a WHERE a.id = :attempt AND a.lead_id = :lead), :state, :fields,
       :at_ms, :login, :at_ms, :login
WHERE NOT EXISTS (SELECT 1 FROM client_order_versions v WHERE v.key = :key);

-- name: note_first_version
-- Straight after the order, if it was made.
INSERT INTO client_order_versions (key, order_id, version, state, fields, login, at_ms)
SELECT :key, o.id, o.version, o.state, o.fields, o.updated_by, o.updated_at_ms
FROM client_orders o WHERE o.id = last_insert_rowid() AND changes() = 1;

-- name: change_order
UPDATE client_orders SET state = :state, fields = :fields, version = version + 1, undone = :undone,
  taken_back = :taken_back, updated_at_ms = :at_ms, updated_by = :login
WHERE id = :order AND version = :version AND NOT EXISTS (SELECT 1 FROM client_order_versions v WHERE v.key = :key)
RETURNING id;

-- name: note_version
-- Straight after the change, if it was made.
INSERT INTO client_order_versions (key, order_id, version, state, fields, login, at_ms)
SELECT :key, o.id, o.version, o.state, o.fields, o.updated_by, o.updated_at_ms
FROM client_orders o WHERE o.id = :order AND changes() = 1;

-- name: order_draft
SELECT text, at_ms FROM client_order_drafts WHERE login = :login AND lead_id = :lead;

-- name: save_order_draft
INSERT INTO client_order_drafts (login, lead_id, text, at_ms)
SELECT :login, l.id, :text, :at_ms FROM leads l WHERE l.id = :lead AND l.erased_at_ms IS NULL
ON CONFLICT (login, lead_id) DO UPDATE SET text = excluded.text, at_ms = excluded.at_ms
WHERE excluded.at_ms >= client_order_drafts.at_ms;

-- name: drop_order_draft
DELETE FROM client_order_drafts WHERE login = :login AND lead_id = :lead;
