-- The tables of the store. A payload column (input, output, body) tells by its storage class where the payload is:
-- BLOB = the raw JSON itself; INTEGER = its length, the bytes are in `body`; TEXT = "length:path" of a spool file.

-- One row per job. `seq` orders jobs by arrival; `forget_at` is set when a job ends: its end of retention.
CREATE TABLE IF NOT EXISTS job (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at REAL NOT NULL,
  queued_at REAL NOT NULL,
  started_at REAL,
  finished_at REAL,
  expires_at REAL,
  forget_at REAL,
  lease_until REAL NOT NULL,
  attempt INTEGER NOT NULL,
  losses INTEGER NOT NULL,
  worker_id TEXT,
  idempotency_key TEXT,
  options TEXT,            -- JSON of what is seldom set and never changes: policy, webhook, sync
  envelope BLOB,
  input BLOB,
  output BLOB,
  error TEXT,
  progress BLOB,
  chunks INTEGER NOT NULL,
  chunks_read INTEGER NOT NULL,
  log_start INTEGER,
  log_end INTEGER,
  phases TEXT NOT NULL,
  batch TEXT               -- the batch that it came with; until that is finalized the status is DRAFT
);
CREATE UNIQUE INDEX IF NOT EXISTS job_id ON job (id, endpoint);
CREATE UNIQUE INDEX IF NOT EXISTS job_key ON job (endpoint, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_of_endpoint ON job (endpoint, seq);
CREATE INDEX IF NOT EXISTS job_live ON job (seq) WHERE status IN ('IN_QUEUE', 'IN_PROGRESS');
CREATE INDEX IF NOT EXISTS job_forget ON job (forget_at) WHERE forget_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_batch ON job (batch, seq) WHERE batch IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_files ON job (seq) WHERE typeof(input) = 'text' OR typeof(output) = 'text';

-- Payloads too large to be rewritten with their row: key is 2*seq for an input, 2*seq+1 for an output.
CREATE TABLE IF NOT EXISTS body (key INTEGER PRIMARY KEY, data BLOB NOT NULL);

-- Stream chunks, raw JSON. Chunks of an earlier attempt are overwritten by the next.
CREATE TABLE IF NOT EXISTS chunk (seq INTEGER, n INTEGER, data BLOB NOT NULL, PRIMARY KEY (seq, n)) WITHOUT ROWID;

-- How many jobs ended and were handed out again since the file was made, by endpoint.
CREATE TABLE IF NOT EXISTS counter (
  endpoint TEXT PRIMARY KEY,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  retried INTEGER NOT NULL
) WITHOUT ROWID;

-- Batches of jobs. `total`, and how many of its jobs have ended how, also when those are forgotten.
CREATE TABLE IF NOT EXISTS batch (
  id TEXT PRIMARY KEY,
  endpoint TEXT NOT NULL,
  name TEXT,
  webhook TEXT,
  status TEXT NOT NULL,
  created_at REAL NOT NULL,
  finalized_at REAL,
  ended_at REAL,
  total INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  cancelled INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS delivery (
  id TEXT PRIMARY KEY,
  endpoint TEXT NOT NULL,
  job_id TEXT NOT NULL,
  url TEXT NOT NULL,
  body BLOB NOT NULL,
  created_at REAL NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at REAL NOT NULL,
  last_status INTEGER,
  last_error TEXT,
  delivered_at REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (state, next_at);

CREATE TABLE IF NOT EXISTS worker (
  id TEXT PRIMARY KEY,
  endpoint TEXT NOT NULL,
  state TEXT NOT NULL,
  pid INTEGER,
  started_at REAL NOT NULL,
  ready_at REAL,
  ended_at REAL,
  exit TEXT,
  error TEXT,
  log_path TEXT,
  sdk TEXT,
  jobs_done INTEGER NOT NULL,
  phases TEXT
);
CREATE INDEX IF NOT EXISTS worker_newest ON worker (started_at);

-- SHA-256 digests of API keys; the keys themselves are never stored.
CREATE TABLE IF NOT EXISTS api_key (name TEXT PRIMARY KEY, digest TEXT NOT NULL) WITHOUT ROWID;

-- The number of the last batch that was committed: a new writing process tells by it whether the one that an earlier
-- one died with is here. One row.
CREATE TABLE IF NOT EXISTS last_batch (n INTEGER NOT NULL);
INSERT INTO last_batch SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM last_batch);
