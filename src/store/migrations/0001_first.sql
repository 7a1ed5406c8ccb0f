CREATE TABLE ticket (
  id BIGINT PRIMARY KEY,
  no TEXT NOT NULL UNIQUE,
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  class TEXT NOT NULL,
  contact_kind TEXT,
  channel TEXT NOT NULL,
  call_id BIGINT,
  is_primary BIGINT NOT NULL,
  kind TEXT NOT NULL,
  category TEXT,
  district TEXT,
  urgency TEXT NOT NULL,
  lead_unit TEXT,
  citizen_number TEXT,
  confidential BIGINT NOT NULL,
  dialled TEXT,
  agent TEXT,
  merged_into TEXT,
  accepted_at BIGINT NOT NULL,
  day TEXT NOT NULL,
  due_at BIGINT,
  closed_at BIGINT,
  updated_at BIGINT NOT NULL,
  redo BIGINT NOT NULL,
  body TEXT NOT NULL
);
CREATE UNIQUE INDEX ticket_primary ON ticket (call_id) WHERE is_primary = 1;
CREATE INDEX ticket_call ON ticket (call_id);
CREATE INDEX ticket_time ON ticket (accepted_at, id);
CREATE INDEX ticket_state ON ticket (state, accepted_at, id);
CREATE INDEX ticket_citizen ON ticket (citizen_number, accepted_at, id);
CREATE TABLE assignment (
  id BIGINT PRIMARY KEY,
  ticket_id BIGINT NOT NULL REFERENCES ticket (id),
  place BIGINT NOT NULL,
  unit TEXT NOT NULL,
  role TEXT NOT NULL,
  state TEXT NOT NULL,
  dispatched_at BIGINT NOT NULL,
  day TEXT NOT NULL,
  sign_due_at BIGINT NOT NULL,
  signed_at BIGINT,
  due_at BIGINT NOT NULL,
  replied_at BIGINT,
  accepted_at BIGINT,
  redo BIGINT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX assignment_ticket ON assignment (ticket_id, place);
CREATE INDEX assignment_unit ON assignment (unit, dispatched_at, id);
CREATE INDEX assignment_state ON assignment (state, due_at);
CREATE TABLE ticket_history (
  ticket_id BIGINT NOT NULL REFERENCES ticket (id),
  seq BIGINT NOT NULL,
  at BIGINT NOT NULL,
  day TEXT NOT NULL,
  event TEXT NOT NULL,
  actor TEXT,
  body TEXT NOT NULL,
  PRIMARY KEY (ticket_id, seq)
);
CREATE TABLE number_block (
  day TEXT NOT NULL,
  node BIGINT NOT NULL,
  next BIGINT NOT NULL,
  PRIMARY KEY (day, node)
);
CREATE TABLE call (
  id BIGINT PRIMARY KEY,
  sip_call_id TEXT NOT NULL,
  direction TEXT NOT NULL,
  from_number TEXT,
  dialled TEXT,
  state TEXT NOT NULL,
  queue TEXT,
  agent TEXT,
  started_at BIGINT NOT NULL,
  day TEXT NOT NULL,
  enqueued_at BIGINT,
  answered_at BIGINT,
  ended_at BIGINT,
  ending TEXT,
  ticket_id BIGINT,
  ticket_no TEXT,
  recording_id BIGINT,
  legs TEXT NOT NULL,
  detail TEXT NOT NULL
);
CREATE INDEX call_sip ON call (sip_call_id);
CREATE INDEX call_time ON call (started_at, id);
CREATE INDEX call_from ON call (from_number, started_at, id);
CREATE INDEX call_state ON call (state, started_at, id);
CREATE TABLE recording (
  id BIGINT PRIMARY KEY,
  call_id BIGINT NOT NULL,
  ticket_no TEXT,
  path TEXT NOT NULL,
  state TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  day TEXT NOT NULL,
  ended_at BIGINT,
  duration_ms BIGINT NOT NULL,
  shortened BIGINT NOT NULL,
  gaps BIGINT NOT NULL,
  confidential BIGINT NOT NULL,
  detail TEXT NOT NULL
);
CREATE INDEX recording_call ON recording (call_id);
CREATE INDEX recording_time ON recording (started_at, id);
CREATE TABLE message (
  id BIGINT PRIMARY KEY,
  once_key TEXT UNIQUE,
  ticket_no TEXT,
  purpose TEXT NOT NULL,
  number TEXT NOT NULL,
  text TEXT NOT NULL,
  state TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  next_try_at BIGINT,
  version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  day TEXT NOT NULL,
  body TEXT NOT NULL
);
CREATE INDEX message_due ON message (next_try_at);
CREATE INDEX message_state ON message (state, created_at, id);
CREATE INDEX message_time ON message (created_at, id);
CREATE INDEX message_ticket ON message (ticket_no, created_at, id);
CREATE TABLE message_part (
  smsc_id TEXT PRIMARY KEY,
  message_id BIGINT NOT NULL REFERENCES message (id)
);
CREATE INDEX message_part_message ON message_part (message_id);
CREATE TABLE unit (
  code TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  parent TEXT,
  kind TEXT NOT NULL,
  active BIGINT NOT NULL,
  body TEXT NOT NULL
);
CREATE TABLE hotline (
  number TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  mode TEXT NOT NULL,
  unit TEXT,
  active BIGINT NOT NULL,
  body TEXT NOT NULL
);
CREATE TABLE app_user (
  name TEXT PRIMARY KEY,
  display_name TEXT NOT NULL,
  role TEXT NOT NULL,
  unit TEXT,
  agent TEXT,
  password_hash TEXT NOT NULL,
  sip_ha1_md5 TEXT,
  sip_ha1_sha256 TEXT,
  active BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE TABLE session (
  token_hash TEXT PRIMARY KEY,
  user_name TEXT NOT NULL REFERENCES app_user (name),
  csrf TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX session_expiry ON session (expires_at);
CREATE TABLE audit (
  seq BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash TEXT NOT NULL
);
CREATE TABLE agent_log (
  id BIGINT PRIMARY KEY,
  agent TEXT NOT NULL,
  extension TEXT,
  at BIGINT NOT NULL,
  day TEXT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT,
  call_id BIGINT
);
CREATE INDEX agent_log_agent ON agent_log (agent, at, id);
CREATE INDEX agent_log_time ON agent_log (at, id);
CREATE TABLE callback (
  id BIGINT PRIMARY KEY,
  call_id BIGINT NOT NULL UNIQUE,
  number TEXT,
  queue TEXT NOT NULL,
  enqueued_at BIGINT NOT NULL,
  owed_at BIGINT NOT NULL,
  day TEXT NOT NULL,
  reason TEXT NOT NULL,
  state TEXT NOT NULL,
  tries BIGINT NOT NULL,
  next_try_at BIGINT NOT NULL,
  claimed_by TEXT,
  claimed_until BIGINT,
  settled_at BIGINT
);
CREATE INDEX callback_rank ON callback (state, enqueued_at, id);
CREATE TABLE event (
  id BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  topic TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT NOT NULL
);
CREATE TABLE event_cursor (
  reader TEXT PRIMARY KEY,
  last_id BIGINT NOT NULL
);
CREATE TABLE idempotency (
  scope TEXT NOT NULL,
  idem_key TEXT NOT NULL,
  request_hash TEXT NOT NULL,
  status BIGINT,
  body TEXT,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (scope, idem_key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);
