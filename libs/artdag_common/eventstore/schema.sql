-- The event store. Postgres is the truth; the bus and Redis hold copies.
-- Applied at start under an advisory lock; every statement may run again.

CREATE TABLE IF NOT EXISTS es_events (
    stream      text        NOT NULL,
    version     bigint      NOT NULL CHECK (version > 0),
    event_id    uuid        NOT NULL UNIQUE,
    type        text        NOT NULL,
    data        bytea       NOT NULL,
    cause       text        NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, version)
);

-- What the relay has not given a position yet. Sequence numbers become visible out of order, so nobody tails them:
-- the relay takes rows whose transaction lies below every transaction still in flight.
CREATE TABLE IF NOT EXISTS es_outbox (
    n       bigint GENERATED ALWAYS AS IDENTITY,
    tx      xid8   NOT NULL DEFAULT pg_current_xact_id(),
    stream  text   NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tx, n)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The one order of all events: gapless, chained by hashes, equal to the sequence of the EVENTS stream.
CREATE TABLE IF NOT EXISTS es_log (
    position bigint PRIMARY KEY,
    stream   text   NOT NULL,
    version  bigint NOT NULL,
    hash     bytea  NOT NULL,
    UNIQUE (stream, version)
);

-- Messages handled, with what came of them. Rows outlive the command stream's maximum age.
CREATE TABLE IF NOT EXISTS es_inbox (
    consumer   text        NOT NULL,
    msg_id     text        NOT NULL,
    outcome    bytea       NOT NULL DEFAULT '',
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, msg_id)
);

-- Append to many streams in one statement, each under its own expected version.
-- Per append, 'appended'; 'replayed': these very events are there already, the answer to an earlier call was lost;
-- 'duplicate': its message was handled before; 'conflict': somebody else appended first.
-- Heads are read before the first write, so that the order of transaction ids is the order of versions.
CREATE OR REPLACE FUNCTION es_append(
    a_stream text[], a_expected bigint[], a_consumer text[], a_msg text[], a_outcome bytea[],
    e_append int[], e_version bigint[], e_id uuid[], e_type text[], e_data bytea[], e_cause text[]
) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    result text[];
BEGIN
    SELECT array_agg(
        CASE
            WHEN i.handled THEN 'duplicate'
            WHEN coalesce(h.version, 0) = a.expected THEN 'appended'
            WHEN EXISTS (
                SELECT FROM es_events e
                WHERE e.stream = a.stream AND e.version = a.expected + 1 AND e.event_id = ANY (e_id)
            ) THEN 'replayed'
            ELSE 'conflict'
        END ORDER BY a.o
    ) INTO result
    FROM unnest(a_stream, a_expected, a_consumer, a_msg) WITH ORDINALITY AS a (stream, expected, consumer, msg, o)
    LEFT JOIN LATERAL (
        SELECT e.version FROM es_events e WHERE e.stream = a.stream ORDER BY e.version DESC LIMIT 1
    ) h ON true
    LEFT JOIN LATERAL (
        SELECT true AS handled FROM es_inbox i WHERE a.msg <> '' AND i.consumer = a.consumer AND i.msg_id = a.msg OFFSET 0
    ) i ON true;

    INSERT INTO es_inbox (consumer, msg_id, outcome)
    SELECT a.consumer, a.msg, a.outcome
    FROM unnest(a_consumer, a_msg, a_outcome) WITH ORDINALITY AS a (consumer, msg, outcome, o)
    WHERE a.msg <> '' AND result[a.o] = 'appended';

    WITH added AS (
        INSERT INTO es_events (stream, version, event_id, type, data, cause)
        SELECT a_stream[e.append], e.version, e.id, e.type, e.data, e.cause
        FROM unnest(e_append, e_version, e_id, e_type, e_data, e_cause) AS e (append, version, id, type, data, cause)
        WHERE result[e.append] = 'appended'
        RETURNING stream, version
    )
    INSERT INTO es_outbox (stream, version) SELECT stream, version FROM added ORDER BY stream, version;

    RETURN result;
END
$$;

-- Runs waiting for a step: the planner's own index, written in the transaction of the append that schedules the step.
CREATE TABLE IF NOT EXISTS planner_waits (
    cache_id text NOT NULL,
    run_id   text NOT NULL,
    PRIMARY KEY (cache_id, run_id)
);

-- Runs that are not finished, so that a new planner knows what to take up.
CREATE TABLE IF NOT EXISTS planner_active (
    run_id     text        PRIMARY KEY,
    touched_at timestamptz NOT NULL DEFAULT now()
);

-- What a change of a run means for these two: it begins, waits for steps, has got steps, is finished.
CREATE OR REPLACE FUNCTION planner_index(
    of_run text, begins boolean, waits text[], got text[], finished boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF begins THEN
        INSERT INTO planner_active (run_id) VALUES (of_run) ON CONFLICT DO NOTHING;
    END IF;
    IF waits <> '{}' THEN
        INSERT INTO planner_waits (cache_id, run_id) SELECT DISTINCT unnest(waits), of_run ON CONFLICT DO NOTHING;
    END IF;
    IF finished THEN
        DELETE FROM planner_waits WHERE run_id = of_run;
        DELETE FROM planner_active WHERE run_id = of_run;
    ELSIF got <> '{}' THEN
        DELETE FROM planner_waits WHERE run_id = of_run AND cache_id = ANY (got);
    END IF;
    RETURN true;
END
$$;
