-- Named queries; "{rows}" is filled with one group of placeholders per row. A row of NULLs only fills a statement up
-- to its size and does nothing.

-- name: insert_waiting
-- Writes new jobs that have nothing special about them.
INSERT INTO job (
  seq, id, endpoint, created_at, queued_at, expires_at, phases, input,
  status, lease_until, attempt, losses, chunks, chunks_read
)
SELECT *, 'IN_QUEUE', 0, 0, 0, 0, 0 FROM (VALUES {rows}) WHERE column1 IS NOT NULL

-- name: insert_draft
-- Writes requests of a batch; '' stands for no options and no envelope, expires_at holds how long they may wait.
INSERT INTO job (
  seq, id, endpoint, created_at, expires_at, batch, options, envelope, input,
  queued_at, status, lease_until, attempt, losses, chunks, chunks_read, phases
)
SELECT
  column1, column2, column3, column4, column5, column6, nullif(column7, ''), nullif(column8, ''), column9,
  column4, 'DRAFT', 0, 0, 0, 0, 0, '[]'
FROM (VALUES {rows}) WHERE column1 IS NOT NULL

-- name: finalize_drafts
-- Puts the requests of a batch (?1) in the queue.
UPDATE job SET status = 'IN_QUEUE', queued_at = ?2, expires_at = ?2 + expires_at, phases = ?3
WHERE batch = ?1 AND status = 'DRAFT'

-- name: cancel_drafts
-- Ends the requests of a batch (?1) that was never finalized.
UPDATE job SET status = 'CANCELLED', finished_at = ?2, forget_at = ?3, expires_at = ?2 + expires_at
WHERE batch = ?1 AND status = 'DRAFT'

-- name: upsert_batch
-- Inserts or replaces a batch's record.
REPLACE INTO batch (
  id, endpoint, name, webhook, status, created_at, finalized_at, ended_at, total, completed, failed, cancelled
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_ended
-- Writes new jobs that have ended well before they were written at all; -1 stands for no log range.
INSERT INTO job (
  seq, id, endpoint, status, created_at, queued_at, started_at, finished_at, expires_at, forget_at, attempt, losses,
  worker_id, output, phases, input, chunks, chunks_read, log_start, log_end, options, lease_until
)
SELECT
  column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11, column12,
  column13, column14, column15, column16, column17, column18, nullif(column19, -1), nullif(column20, -1),
  '{"sync":true}', 0
FROM (VALUES {rows}) WHERE column1 IS NOT NULL

-- name: update_ended
-- Ends known jobs that ran and have no error; -1 stands for no log range.
UPDATE job SET
  status = v.column2, started_at = v.column3, finished_at = v.column4, forget_at = v.column5, attempt = v.column6,
  losses = v.column7, worker_id = v.column8, output = v.column9, chunks = v.column10, chunks_read = v.column11,
  log_start = nullif(v.column12, -1), log_end = nullif(v.column13, -1), phases = v.column14,
  lease_until = 0, error = NULL, progress = NULL
FROM (VALUES {rows}) v WHERE job.seq = v.column1

-- name: upsert_job
-- Writes new jobs and the changed columns of known ones, whatever they are.
INSERT INTO job (
  seq, id, endpoint, status, created_at, queued_at, started_at, finished_at, expires_at, forget_at, lease_until,
  attempt, losses, worker_id, output, error, progress, chunks, chunks_read, log_start, log_end, phases,
  idempotency_key, options, envelope, input
)
SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL
ON CONFLICT (seq) DO UPDATE SET
  status = excluded.status, queued_at = excluded.queued_at, started_at = excluded.started_at,
  finished_at = excluded.finished_at, expires_at = excluded.expires_at, forget_at = excluded.forget_at,
  lease_until = excluded.lease_until, attempt = excluded.attempt, losses = excluded.losses,
  worker_id = excluded.worker_id, output = excluded.output, error = excluded.error, progress = excluded.progress,
  chunks = excluded.chunks, chunks_read = excluded.chunks_read, log_start = excluded.log_start,
  log_end = excluded.log_end, phases = excluded.phases

-- name: upsert_body
-- Keeps a payload beside its job's row.
INSERT INTO body (key, data) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET data = excluded.data

-- name: upsert_chunk
-- Appends a stream chunk; replaces the one of an earlier attempt.
INSERT INTO chunk (seq, n, data) VALUES (?, ?, ?) ON CONFLICT (seq, n) DO UPDATE SET data = excluded.data

-- name: append_phase
-- Adds one phase (JSON) to a job that has ended.
UPDATE job SET phases = json_insert(phases, '$[#]', json(?)) WHERE seq = ?

-- name: advance_read
-- Counts stream chunks of a job that has ended as read.
UPDATE job SET chunks_read = max(chunks_read, ?) WHERE seq = ?

-- name: upsert_counter
-- Sets how many jobs of an endpoint ended and how many were handed out again.
REPLACE INTO counter (endpoint, completed, failed, retried) VALUES (?, ?, ?, ?)

-- name: upsert_delivery
-- Inserts or replaces a webhook delivery.
REPLACE INTO delivery (
  id, endpoint, job_id, url, body, created_at, state, attempts, next_at, last_status, last_error, delivered_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: upsert_worker
-- Inserts or replaces a worker's record.
REPLACE INTO worker (
  id, endpoint, state, pid, started_at, ready_at, ended_at, exit, error, log_path, sdk, jobs_done, phases
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: save_key
-- Keeps the digest of an API key.
REPLACE INTO api_key (name, digest) VALUES (?, ?)

-- name: delete_key
-- Removes an API key.
DELETE FROM api_key WHERE name = ?

-- name: delete_jobs
-- Removes jobs by their numbers (a JSON array).
DELETE FROM job WHERE seq IN (SELECT value FROM json_each(?))

-- name: delete_bodies
-- Removes the payloads of jobs (a JSON array of their numbers).
DELETE FROM body WHERE key IN (SELECT 2 * value FROM json_each(?1) UNION ALL SELECT 2 * value + 1 FROM json_each(?1))

-- name: delete_outputs
-- Removes the outputs of jobs that are tried again (a JSON array of their numbers).
DELETE FROM body WHERE key IN (SELECT 2 * value + 1 FROM json_each(?))

-- name: delete_chunks
-- Removes the stream chunks of jobs (a JSON array of their numbers).
DELETE FROM chunk WHERE seq IN (SELECT value FROM json_each(?))

-- name: delete_deliveries
-- Removes webhook deliveries (a JSON array of their ids).
DELETE FROM delivery WHERE id IN (SELECT value FROM json_each(?))

-- name: delete_batches
-- Removes records of batches (a JSON array of their ids).
DELETE FROM batch WHERE id IN (SELECT value FROM json_each(?))

-- name: delete_old_workers
-- Keeps the newest records of workers that are gone.
DELETE FROM worker WHERE state = 'gone' AND id NOT IN (SELECT id FROM worker ORDER BY started_at DESC LIMIT ?)

-- name: number_batch
-- Says which batch this is.
UPDATE last_batch SET n = ?

-- name: select_job
-- One job with its payloads.
SELECT job.*, i.data AS input_data, o.data AS output_data FROM job
LEFT JOIN body i ON i.key = 2 * job.seq LEFT JOIN body o ON o.key = 2 * job.seq + 1
WHERE job.id = ? AND job.endpoint = ? AND job.status <> 'DRAFT'

-- name: select_job_by_key
-- The job that came with this idempotency key: its number, its id, and when it is to be forgotten.
SELECT seq, id, forget_at, input, output FROM job WHERE endpoint = ? AND idempotency_key = ?

-- name: select_taken
-- Whether there is a job with this id.
SELECT 1 FROM job WHERE id = ? AND endpoint = ?

-- name: select_live
-- The jobs that have not ended, in the order of the queue.
SELECT job.*, i.data AS input_data, NULL AS output_data FROM job LEFT JOIN body i ON i.key = 2 * job.seq
WHERE status IN ('IN_QUEUE', 'IN_PROGRESS') ORDER BY queued_at, seq

-- name: select_newest
-- Jobs of an endpoint, newest first, without their input.
SELECT job.*, NULL AS input_data, o.data AS output_data FROM job LEFT JOIN body o ON o.key = 2 * job.seq + 1
WHERE endpoint = ?1 AND seq < ?2 AND (?3 IS NULL OR status = ?3) AND (forget_at IS NULL OR forget_at > ?4)
  AND status <> 'DRAFT'
ORDER BY seq DESC LIMIT ?5

-- name: select_batches
-- All batches, oldest first.
SELECT id, endpoint, name, webhook, status, created_at, finalized_at, ended_at, total, completed, failed, cancelled
FROM batch ORDER BY created_at, id

-- name: select_of_batch
-- What is told of the jobs of a batch, in their order.
SELECT seq, id, status, queued_at, started_at, finished_at, worker_id, error, output, o.data
FROM job LEFT JOIN body o ON o.key = 2 * job.seq + 1
WHERE batch = ?1 AND (?2 IS NULL OR status = ?2) AND (forget_at IS NULL OR forget_at > ?3)
ORDER BY seq LIMIT ?4 OFFSET ?5

-- name: select_one_of_batch
-- One job or draft of a batch, with its payloads.
SELECT job.*, i.data AS input_data, o.data AS output_data FROM job
LEFT JOIN body i ON i.key = 2 * job.seq LEFT JOIN body o ON o.key = 2 * job.seq + 1
WHERE job.id = ?1 AND job.endpoint = ?2 AND job.batch = ?3

-- name: select_waiting_of_batch
-- Jobs of a batch that wait and were never handed out, after a number, in their order.
SELECT seq, id, endpoint, created_at, queued_at, expires_at, options, envelope, input, i.data
FROM job LEFT JOIN body i ON i.key = 2 * job.seq
WHERE batch = ?1 AND job.seq > ?2 AND status = 'IN_QUEUE' ORDER BY job.seq LIMIT ?3

-- name: select_forgotten
-- Jobs whose retention is over.
SELECT seq, input, output FROM job
WHERE forget_at IS NOT NULL AND forget_at <= ? ORDER BY forget_at LIMIT ?

-- name: select_next_forget
-- When the next retention ends.
SELECT min(forget_at) FROM job WHERE forget_at IS NOT NULL

-- name: select_last_seq
-- The number of the newest job.
SELECT max(seq) FROM job

-- name: select_counters
-- All counters.
SELECT endpoint, completed, failed, retried FROM counter

-- name: select_chunks
-- Stream chunks of a job from one number to another (exclusive), in order.
SELECT data FROM chunk WHERE seq = ? AND n >= ? AND n < ? ORDER BY n

-- name: select_deliveries
-- Deliveries, the most urgent first.
SELECT id, endpoint, job_id, url, body, created_at, state, attempts, next_at, last_status, last_error, delivered_at
FROM delivery WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR next_at <= ?2) ORDER BY next_at LIMIT ?3

-- name: select_delivery
-- One delivery.
SELECT id, endpoint, job_id, url, body, created_at, state, attempts, next_at, last_status, last_error, delivered_at
FROM delivery WHERE id = ?

-- name: select_done_deliveries
-- Deliveries that are over and old enough to be removed.
SELECT id, body FROM delivery WHERE (state = 'delivered' AND next_at <= ?1) OR (state = 'dead' AND next_at <= ?2)
LIMIT ?3

-- name: select_workers
-- Workers, newest first.
SELECT id, endpoint, state, pid, started_at, ready_at, ended_at, exit, error, log_path, sdk, jobs_done, phases
FROM worker WHERE ?1 IS NULL OR endpoint = ?1 ORDER BY started_at DESC, id DESC LIMIT ?2

-- name: select_keys
-- All API keys.
SELECT name, digest FROM api_key

-- name: select_files
-- Every spool file that a job or a delivery refers to.
SELECT input FROM job WHERE (typeof(input) = 'text' OR typeof(output) = 'text') AND typeof(input) = 'text'
UNION ALL
SELECT output FROM job WHERE (typeof(input) = 'text' OR typeof(output) = 'text') AND typeof(output) = 'text'
UNION ALL
SELECT body FROM delivery WHERE typeof(body) = 'text'
