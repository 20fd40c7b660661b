-- The event store. Postgres is the truth; the bus and Redis hold copies.
-- What is missing of this is made while services use the rest: see schema.py, which also says what may stand here.

-- Versions that this schema had, the present one last. least: the oldest whose services can work with it. made_for: hash
-- of the statements that it was made by.
CREATE TABLE IF NOT EXISTS es_schema (
    version  integer     PRIMARY KEY,
    least    integer     NOT NULL,
    made_for text        NOT NULL,
    by       text        NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);

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

CREATE INDEX IF NOT EXISTS es_inbox_handled ON es_inbox USING brin (handled_at) WITH (autosummarize = on);

-- What each role may append to, by the kind of the stream; in whose name it may hold content, by the kind of the
-- holder; and whose messages it notes as handled (see roles.py). made_for: hash of what they were made by.
CREATE TABLE IF NOT EXISTS es_roles (
    role     text   PRIMARY KEY,
    streams  text[] NOT NULL,
    holders  text[] NOT NULL,
    consumer text   NOT NULL,
    made_for text   NOT NULL
);

-- Refuse what is not the caller's: streams, holders, consumers of messages. Called by functions that run as the owner.
CREATE OR REPLACE FUNCTION es_check(of_streams text[], of_holders text[], of_consumers text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    may   es_roles;
    wrong text;
BEGIN
    SELECT * INTO may FROM es_roles WHERE role = session_user;
    IF NOT FOUND AND pg_has_role(session_user, current_user, 'MEMBER') THEN
        RETURN;
    END IF;
    SELECT name INTO wrong FROM (
        SELECT s AS name FROM unnest(of_streams) s WHERE split_part(s, '-', 1) = ANY (may.streams) IS NOT TRUE
        UNION ALL
        SELECT h FROM unnest(of_holders) h WHERE split_part(h, '-', 1) = ANY (may.holders) IS NOT TRUE
        UNION ALL
        SELECT c FROM unnest(of_consumers) c WHERE c <> '' AND (c = may.consumer) IS NOT TRUE
    ) refused LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'permission denied: % is not for %', wrong, session_user USING ERRCODE = '42501';
    END IF;
END
$$;

-- Append to many streams in one statement, each under its own expected version.
-- Per append, 'appended'; 'replayed': these very events are there already, the answer to an earlier call was lost;
-- 'duplicate': its message was handled before; 'conflict': somebody else appended first.
-- Heads are read before the first write, so that the order of transaction ids is the order of versions.
CREATE OR REPLACE FUNCTION es_append(
    a_stream text[], a_expected bigint[], a_consumer text[], a_msg text[], a_outcome bytea[],
    e_append int[], e_version bigint[], e_id uuid[], e_type text[], e_data bytea[], e_cause text[]
) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    result text[];
BEGIN
    PERFORM es_check(a_stream, '{}', a_consumer);
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

-- Note what became of a message that led to no event.
CREATE OR REPLACE FUNCTION es_keep_outcome(of_consumer text, of_msg text, of_outcome bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM es_check('{}', '{}', ARRAY[of_consumer]);
    INSERT INTO es_inbox (consumer, msg_id, outcome) VALUES (of_consumer, of_msg, of_outcome) ON CONFLICT DO NOTHING;
END
$$;

-- Forget messages that were handled more than 8 days ago, so many of them: the bus keeps commands for 7. The number of
-- days is no argument: whoever may call this cannot have a message handled twice.
CREATE OR REPLACE FUNCTION es_forget_handled(most int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    count int;
BEGIN
    DELETE FROM es_inbox WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM es_inbox WHERE handled_at < now() - interval '8 days' LIMIT most FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS count = ROW_COUNT;
    RETURN count;
END
$$;

-- Runs waiting for a step: the planner's own index, written in the transaction of the append that schedules the step.
CREATE TABLE IF NOT EXISTS planner_waits (
    cache_id text NOT NULL,
    run_id   text NOT NULL,
    PRIMARY KEY (cache_id, run_id)
);

-- Runs that are not finished, so that a new planner knows what to take up. timed: the clock can end one of its steps.
CREATE TABLE IF NOT EXISTS planner_active (
    run_id     text        PRIMARY KEY,
    touched_at timestamptz NOT NULL DEFAULT now(),
    owner      text        NOT NULL DEFAULT '',
    deadline   timestamptz,
    timed      boolean     NOT NULL DEFAULT false,
    paused     boolean     NOT NULL DEFAULT false
);
ALTER TABLE planner_active ADD COLUMN IF NOT EXISTS owner text NOT NULL DEFAULT '';
ALTER TABLE planner_active ADD COLUMN IF NOT EXISTS deadline timestamptz;
ALTER TABLE planner_active ADD COLUMN IF NOT EXISTS timed boolean NOT NULL DEFAULT false;
ALTER TABLE planner_active ADD COLUMN IF NOT EXISTS paused boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS planner_active_owner ON planner_active (owner);
CREATE INDEX IF NOT EXISTS planner_active_timed ON planner_active (deadline) WHERE timed OR deadline IS NOT NULL;

-- Let a run begin, where its owner and the system have room for one more. Refused by AD004: ``most``, ``scope``.
DROP FUNCTION IF EXISTS planner_change(
    text, boolean, text[], text[], boolean, text, bigint, text[], text[], bigint[], bigint[], text[], boolean, text
);
CREATE OR REPLACE FUNCTION planner_admit(
    of_run text, by_owner text, ends_by timestamptz, is_timed boolean, most_of_owner bigint, most bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF most_of_owner > 0 AND by_owner <> '' THEN
        PERFORM pg_advisory_xact_lock(74120003, hashtext(by_owner));
        IF (SELECT count(*) FROM planner_active WHERE owner = by_owner) >= most_of_owner THEN
            RAISE EXCEPTION 'the queue of this owner is full' USING ERRCODE = 'AD004',
                DETAIL = jsonb_build_object('scope', 'owner', 'most', most_of_owner)::text;
        END IF;
    END IF;
    IF most > 0 THEN
        PERFORM pg_advisory_xact_lock(74120004, 0);
        IF (SELECT count(*) FROM planner_active) >= most THEN
            RAISE EXCEPTION 'the queue of the system is full' USING ERRCODE = 'AD004',
                DETAIL = jsonb_build_object('scope', 'system', 'most', most)::text;
        END IF;
    END IF;
    INSERT INTO planner_active (run_id, owner, deadline, timed) VALUES (of_run, by_owner, ends_by, is_timed)
    ON CONFLICT DO NOTHING;
    RETURN true;
END
$$;

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

-- Steps of work classes with limits that may be with executors: the planner's slots, see services/planner/slots.py.
-- version: the step has ended once its stream has an end beyond it. wanted: a run was seen to wait for the step; steps are
-- sent before that is committed. left_at: since when nobody waits, though an executor may still be at it.
CREATE TABLE IF NOT EXISTS planner_slots (
    cache_id text        PRIMARY KEY,
    class    text        NOT NULL,
    owner    text        NOT NULL,
    version  bigint      NOT NULL,
    wanted   boolean     NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    left_at  timestamptz
);
CREATE INDEX IF NOT EXISTS planner_slots_class ON planner_slots (class, owner);

-- What the reconciler put back that was lost, newest last, kept for a week; and how often it ever did, by what it was.
CREATE TABLE IF NOT EXISTS planner_repairs (
    n        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL,
    planner  text        NOT NULL,
    run_id   text        NOT NULL,
    cache_id text        NOT NULL,
    what     text        NOT NULL,
    detail   text        NOT NULL
);
CREATE INDEX IF NOT EXISTS planner_repairs_at ON planner_repairs (at);
CREATE TABLE IF NOT EXISTS planner_repaired (
    what  text   PRIMARY KEY,
    count bigint NOT NULL
);

-- Give back the slots of steps that have ended or that nobody waits for. among: only of these. abandoned: runs did wait
-- for them. unseen, stop: seconds that are left to runs to be seen, to executors to stop. Returns the steps that nobody
-- waits for; they are to be taken off the queue.
CREATE OR REPLACE FUNCTION planner_give_back(
    among text[], abandoned boolean, unseen double precision, stop double precision
) RETURNS TABLE (step text, of_class text) LANGUAGE plpgsql AS $$
DECLARE
    slot planner_slots;
    waited boolean;
    over boolean;
    latest text;
BEGIN
    FOR slot IN
        SELECT * FROM planner_slots s WHERE among IS NULL OR s.cache_id = ANY (among)
        ORDER BY s.cache_id FOR UPDATE SKIP LOCKED
    LOOP
        waited := EXISTS (SELECT 1 FROM planner_waits w WHERE w.cache_id = slot.cache_id);
        latest := (
            SELECT e.type FROM es_events e WHERE e.stream = 'step-' || slot.cache_id AND e.version > slot.version
            ORDER BY e.version DESC LIMIT 1
        );
        over := NOT waited AND (
            slot.wanted OR abandoned OR slot.taken_at < now() - make_interval(secs => unseen)
        );
        IF latest IN ('StepCompleted', 'StepFailed') THEN
            DELETE FROM planner_slots WHERE cache_id = slot.cache_id;
        ELSIF over THEN
            IF latest IS DISTINCT FROM 'StepStarted' OR slot.left_at < now() - make_interval(secs => stop) THEN
                DELETE FROM planner_slots WHERE cache_id = slot.cache_id;
            ELSIF slot.left_at IS NULL THEN
                UPDATE planner_slots SET wanted = true, left_at = now() WHERE cache_id = slot.cache_id;
            END IF;
            step := slot.cache_id;
            of_class := slot.class;
            RETURN NEXT;
        ELSIF waited AND (NOT slot.wanted OR slot.left_at IS NOT NULL) THEN
            UPDATE planner_slots SET wanted = true, left_at = NULL WHERE cache_id = slot.cache_id;
        END IF;
    END LOOP;
END
$$;

-- Take slots of a class in this order, as long as there are some; 0: no limit. taken: the steps that have one now, also
-- from before. is_full: the class has none left.
CREATE OR REPLACE FUNCTION planner_take(
    of_class text, steps text[], owners text[], versions bigint[], most bigint, most_of_owner bigint,
    OUT taken text[], OUT is_full boolean
) LANGUAGE plpgsql AS $$
DECLARE
    are_out bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(74120005, hashtext(of_class));
    DELETE FROM planner_slots s WHERE s.cache_id = ANY (steps) AND (
        SELECT e.type FROM es_events e WHERE e.stream = 'step-' || s.cache_id AND e.version > s.version
        ORDER BY e.version DESC LIMIT 1
    ) IN ('StepCompleted', 'StepFailed');
    -- Who asks wants the step, also one that nobody else waits for any more and that is on the queue still.
    UPDATE planner_slots s SET taken_at = now(), left_at = NULL,
        wanted = EXISTS (SELECT 1 FROM planner_waits w WHERE w.cache_id = s.cache_id)
    WHERE s.cache_id = ANY (steps);
    taken := ARRAY (SELECT cache_id FROM planner_slots WHERE cache_id = ANY (steps));
    are_out := (SELECT count(*) FROM planner_slots WHERE class = of_class);
    FOR i IN 1 .. cardinality(steps) LOOP
        EXIT WHEN most > 0 AND are_out >= most;
        CONTINUE WHEN steps[i] = ANY (taken);
        CONTINUE WHEN most_of_owner > 0 AND most_of_owner <= (
            SELECT count(*) FROM planner_slots WHERE class = of_class AND owner = owners[i]
        );
        INSERT INTO planner_slots (cache_id, class, owner, version, wanted) VALUES (
            steps[i], of_class, owners[i], versions[i],
            EXISTS (SELECT 1 FROM planner_waits w WHERE w.cache_id = steps[i])
        );
        taken := taken || steps[i];
        are_out := are_out + 1;
    END LOOP;
    is_full := most > 0 AND are_out >= most;
END
$$;

-- Content that was ever taken in. A file's stamp is the time in nanoseconds at which it was stored last; ``stamp`` is the
-- newest that the books heard of. ``gone``: the content was given up, with every file up to this stamp; a newer one was
-- stored since. ``removed``: those files are no more.
CREATE TABLE IF NOT EXISTS content_books (
    cid        text        PRIMARY KEY,
    size_bytes bigint      NOT NULL,
    origin     text        NOT NULL,
    stamp      bigint      NOT NULL,
    gone       bigint,
    removed    boolean     NOT NULL DEFAULT false,
    used_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS content_books_gone ON content_books (cid) WHERE gone IS NOT NULL AND NOT removed;

-- Who needs content, and as what. Written in the transaction of the append that creates or ends the need. ``holder`` is
-- the stream of a run, recipe or effect, or ``user-`` and a name; ``owner`` is whose quota it counts for, ``whose`` the
-- user for whom it is needed.
CREATE TABLE IF NOT EXISTS content_holds (
    cid    text NOT NULL,
    kind   text NOT NULL,
    holder text NOT NULL,
    owner  text NOT NULL,
    since  timestamptz NOT NULL DEFAULT now(),
    whose  text NOT NULL DEFAULT '',
    PRIMARY KEY (cid, kind, holder)
);
ALTER TABLE content_holds ADD COLUMN IF NOT EXISTS whose text NOT NULL DEFAULT '';
CREATE INDEX IF NOT EXISTS content_holds_arriving ON content_holds (since) WHERE kind = 'arriving';
CREATE INDEX IF NOT EXISTS content_holds_holder ON content_holds (holder);
CREATE INDEX IF NOT EXISTS content_holds_owner ON content_holds (owner, cid) WHERE owner <> '';

-- Lock content until the transaction ends: whoever needs it shares the lock, whoever gives it up has it alone. There
-- are 256 locks for all content, so that a plan of ten thousand steps fits in Postgres's table of locks; they are taken
-- in order, after all rows of streams, so nobody waits in a circle.
CREATE OR REPLACE FUNCTION content_lock(cids text[], alone boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place int;
BEGIN
    FOR place IN SELECT DISTINCT hashtext(c) & 255 FROM unnest(cids) c ORDER BY 1 LOOP
        IF alone THEN
            PERFORM pg_advisory_xact_lock(74120001, place);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(74120001, place);
        END IF;
    END LOOP;
END
$$;

-- What a user's uploads and the outputs of their runs take, each content once.
CREATE OR REPLACE FUNCTION content_used(by_owner text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(b.size_bytes), 0)::bigint FROM content_books b
    WHERE b.cid IN (SELECT h.cid FROM content_holds h WHERE h.owner = by_owner AND by_owner <> '')
$$;

-- Take content into the books, or back into them. Refused, as all below are, by an error of class AD.
-- AD001: it was given up, and the file seen (``stamps``; 0: none) is not one that was stored since.
CREATE OR REPLACE FUNCTION content_stored(
    cids text[], sizes bigint[], origins text[], stamps bigint[]
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    lost jsonb;
BEGIN
    PERFORM content_lock(cids, false);
    SELECT jsonb_object_agg(b.cid, b.gone) INTO lost
    FROM unnest(cids, stamps) s (cid, stamp) JOIN content_books b USING (cid) WHERE s.stamp <= b.gone;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'content was given up' USING ERRCODE = 'AD001', DETAIL = jsonb_build_object('gone', lost)::text;
    END IF;
    INSERT INTO content_books (cid, size_bytes, origin, stamp)
    SELECT DISTINCT ON (s.cid) s.* FROM unnest(cids, sizes, origins, stamps) s (cid, size_bytes, origin, stamp)
    ORDER BY s.cid
    ON CONFLICT (cid) DO UPDATE SET stamp = greatest(content_books.stamp, EXCLUDED.stamp), gone = NULL, used_at = now();
    RETURN true;
END
$$;

-- Note that somebody is about to store content and then to enter it: it is not given up meanwhile.
CREATE OR REPLACE FUNCTION content_announce(of_cid text, by_upload text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM content_lock(ARRAY[of_cid], false);
    INSERT INTO content_holds (cid, kind, holder, owner) VALUES (of_cid, 'arriving', by_upload, '');
END
$$;

-- Note that one of those who were about to has entered it, or been refused; which one makes no difference.
CREATE OR REPLACE FUNCTION content_arrived(cids text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM content_holds h USING (
        SELECT (
            SELECT holder FROM content_holds a WHERE a.cid = c.cid AND a.kind = 'arriving'
            ORDER BY since, holder LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS holder, c.cid FROM (SELECT DISTINCT unnest(cids) AS cid) c
    ) one
    WHERE h.cid = one.cid AND h.kind = 'arriving' AND h.holder = one.holder;
END
$$;

-- Note that ``of_holder`` needs content. With sizes it goes into the books too, as ``origin``.
-- ``arrived``: it was announced. AD001: see above. AD002: with it the owner has more than the quota; 0: there is none.
CREATE OR REPLACE FUNCTION content_hold(
    of_holder text, by_owner text, quota bigint,
    cids text[], kinds text[], stamps bigint[], sizes bigint[], from_origin text, arrived boolean
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    lost jsonb;
    used bigint;
    more bigint;
BEGIN
    PERFORM es_check('{}', ARRAY[of_holder], '{}');
    IF cids = '{}' THEN
        RETURN true;
    END IF;
    PERFORM content_lock(cids, false);
    SELECT jsonb_object_agg(b.cid, b.gone) INTO lost
    FROM unnest(cids, stamps) s (cid, stamp) JOIN content_books b USING (cid) WHERE s.stamp <= b.gone;
    IF lost IS NOT NULL THEN
        RAISE EXCEPTION 'content was given up' USING ERRCODE = 'AD001', DETAIL = jsonb_build_object('gone', lost)::text;
    END IF;
    IF quota > 0 AND by_owner <> '' AND EXISTS (SELECT FROM unnest(sizes) size WHERE size >= 0) THEN
        PERFORM pg_advisory_xact_lock(74120002, hashtext(by_owner));
        SELECT coalesce(sum(n.size), 0) INTO more
        FROM (SELECT DISTINCT cid, size FROM unnest(cids, sizes) s (cid, size) WHERE size >= 0) n
        WHERE NOT EXISTS (SELECT FROM content_holds h WHERE h.cid = n.cid AND h.owner = by_owner);
        used := content_used(by_owner);
        IF more > 0 AND used + more > quota THEN
            RAISE EXCEPTION 'beyond the quota' USING ERRCODE = 'AD002',
                DETAIL = jsonb_build_object('used_bytes', used, 'more_bytes', more, 'quota_bytes', quota)::text;
        END IF;
    END IF;
    INSERT INTO content_books (cid, size_bytes, origin, stamp)
    SELECT DISTINCT ON (s.cid) s.cid, s.size, from_origin, s.stamp
    FROM unnest(cids, sizes, stamps) s (cid, size, stamp) WHERE s.size >= 0 ORDER BY s.cid
    ON CONFLICT (cid) DO UPDATE SET stamp = greatest(content_books.stamp, EXCLUDED.stamp), gone = NULL, used_at = now();
    WITH again AS (  -- stored again since the books heard of it, perhaps since it was given up
        SELECT b.cid, s.stamp
        FROM content_books b JOIN (
            SELECT cid, max(stamp) AS stamp FROM unnest(cids, stamps) u (cid, stamp) GROUP BY cid
        ) s USING (cid)
        WHERE b.stamp < s.stamp ORDER BY b.cid FOR UPDATE OF b
    )
    UPDATE content_books SET gone = NULL, stamp = again.stamp FROM again WHERE content_books.cid = again.cid;
    INSERT INTO content_holds (cid, kind, holder, owner, whose)
    SELECT DISTINCT s.cid, s.kind, of_holder, CASE WHEN s.size >= 0 THEN by_owner ELSE '' END, by_owner
    FROM unnest(cids, kinds, sizes) s (cid, kind, size)
    ON CONFLICT DO NOTHING;
    IF arrived THEN
        PERFORM content_arrived(cids);
    END IF;
    RETURN true;
END
$$;

-- Note that ``of_holder`` no longer needs content: of these kinds (none: of all), this one (none: all of it).
CREATE OR REPLACE FUNCTION content_release(of_holder text, of_kinds text[], of_cid text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM es_check('{}', ARRAY[of_holder], '{}');
    WITH released AS (
        DELETE FROM content_holds
        WHERE holder = of_holder AND (of_kinds = '{}' OR kind = ANY (of_kinds)) AND (of_cid = '' OR cid = of_cid)
        RETURNING cid
    ), used AS (  -- whoever else notes the same does it in our place
        SELECT cid FROM content_books WHERE cid IN (SELECT cid FROM released) ORDER BY cid FOR UPDATE SKIP LOCKED
    )
    UPDATE content_books SET used_at = now() WHERE cid IN (SELECT cid FROM used);
    RETURN true;
END
$$;

-- AD003: who holds content is not what the decision was made on. ``of_kinds``: only these matter; none: all.
CREATE OR REPLACE FUNCTION content_expect(of_cid text, of_kinds text[], known text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    actual text[];
BEGIN
    PERFORM content_lock(ARRAY[of_cid], true);
    SELECT coalesce(array_agg(kind || ' ' || holder), '{}') INTO actual FROM content_holds
    WHERE cid = of_cid AND (of_kinds = '{}' OR kind = ANY (of_kinds));
    IF NOT (actual <@ known AND known <@ actual) THEN
        RAISE EXCEPTION 'somebody began or ceased to need %', of_cid USING ERRCODE = 'AD003', DETAIL = '{}';
    END IF;
END
$$;

-- Give content up: all its holds, and its files up to ``of_stamp``.
CREATE OR REPLACE FUNCTION content_evict(of_cid text, known text[], of_stamp bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM content_expect(of_cid, '{}', known);
    IF EXISTS (SELECT FROM content_books WHERE cid = of_cid AND stamp > of_stamp AND of_stamp > 0) THEN
        RAISE EXCEPTION '% was stored again', of_cid USING ERRCODE = 'AD003', DETAIL = '{}';
    END IF;
    DELETE FROM content_holds WHERE cid = of_cid;
    UPDATE content_books SET gone = greatest(of_stamp, stamp), removed = false WHERE cid = of_cid;
    RETURN true;
END
$$;

-- Take one owner's holds off content that others hold.
CREATE OR REPLACE FUNCTION content_disown(of_cid text, known text[], of_holder text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM content_expect(of_cid, '{}', known);
    RETURN content_release(of_holder, '{}', of_cid);
END
$$;

-- Give a file up that nobody ever took into the books. False: somebody did, or holds it.
CREATE OR REPLACE FUNCTION content_orphan(of_cid text, size bigint, of_stamp bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM content_lock(ARRAY[of_cid], true);
    IF EXISTS (SELECT FROM content_books WHERE cid = of_cid) OR EXISTS (SELECT FROM content_holds WHERE cid = of_cid) THEN
        RETURN false;
    END IF;
    INSERT INTO content_books (cid, size_bytes, origin, stamp, gone) VALUES (of_cid, size, '', of_stamp, of_stamp);
    RETURN true;
END
$$;

-- What a change of a run means for the planner's index and for content: what it needs from now on, what no longer.
-- A run is deleted only while nothing that it gave (``given``) is published.
CREATE OR REPLACE FUNCTION planner_change(
    of_run text, begins boolean, waits text[], got text[], finished boolean,
    by_owner text, quota bigint, cids text[], kinds text[], stamps bigint[], sizes bigint[],
    released text[], deleted boolean, given text,
    ends_by timestamptz, is_timed boolean, is_paused boolean, most_of_owner bigint, most bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF begins THEN
        PERFORM planner_admit(of_run, by_owner, ends_by, is_timed, most_of_owner, most);
    END IF;
    PERFORM planner_index(of_run, begins, waits, got, finished);
    IF is_paused IS NOT NULL THEN
        UPDATE planner_active SET paused = is_paused WHERE run_id = of_run;
    END IF;
    IF deleted THEN
        IF given <> '' THEN
            PERFORM content_expect(given, ARRAY['published'], '{}');
        END IF;
        RETURN content_release('run-' || of_run, '{}', '');
    END IF;
    PERFORM content_hold('run-' || of_run, by_owner, quota, cids, kinds, stamps, sizes, 'step', false);
    IF released <> '{}' THEN
        PERFORM content_release('run-' || of_run, released, '');
    END IF;
    RETURN true;
END
$$;

-- Storage providers of users, in use or being emptied: the cache service's own index, written in the transaction of
-- the append that changes one. asked: grows when what failed there may work now. failures, resume_at: since when it does
-- not answer, and when it is tried again.
CREATE TABLE IF NOT EXISTS storage_providers (
    storage_id text        PRIMARY KEY,
    owner      text        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('enabled', 'disabled', 'purging')),
    refusing   boolean     NOT NULL,
    asked      bigint      NOT NULL DEFAULT 1,
    failures   integer     NOT NULL DEFAULT 0,
    resume_at  timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX IF NOT EXISTS storage_providers_owner ON storage_providers (owner);

-- What opens them, sealed by the gateway. The only place where it is kept; never in an event.
CREATE TABLE IF NOT EXISTS storage_secrets (
    storage_id text  NOT NULL,
    field      text  NOT NULL,
    sealed     bytea NOT NULL,
    PRIMARY KEY (storage_id, field)
);

-- What is whose, as far as copies are concerned.
CREATE TABLE IF NOT EXISTS storage_owned (
    owner text NOT NULL,
    cid   text NOT NULL,
    PRIMARY KEY (owner, cid)
);

-- The queue of copies, one row for each copy- stream; due_at of one that is being made: when its maker counts as dead.
CREATE TABLE IF NOT EXISTS storage_copies (
    storage_id text        NOT NULL,
    cid        text        NOT NULL,
    state      text        NOT NULL CHECK (state IN ('waiting', 'copying', 'made', 'failed')),
    size_bytes bigint      NOT NULL DEFAULT 0,
    attempt    integer     NOT NULL DEFAULT 0,
    asked      bigint      NOT NULL,
    due_at     timestamptz NOT NULL,
    PRIMARY KEY (storage_id, cid)
);
CREATE INDEX IF NOT EXISTS storage_copies_due ON storage_copies (storage_id, state, due_at);

-- What a change of a provider means for its rows. An empty new_state: it is gone. pace: '', 'resume' (try it now) or
-- 'again' (try it now, also what failed). An empty sealed: that secret is set no more.
CREATE OR REPLACE FUNCTION storage_change(
    of_storage text, of_owner text, new_state text, is_refusing boolean, pace text, fields text[], seals bytea[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF new_state = '' THEN
        DELETE FROM storage_secrets WHERE storage_id = of_storage;
        DELETE FROM storage_copies WHERE storage_id = of_storage;
        DELETE FROM storage_providers WHERE storage_id = of_storage;
        RETURN true;
    END IF;
    INSERT INTO storage_providers (storage_id, owner, state, refusing)
    VALUES (of_storage, of_owner, new_state, is_refusing)
    ON CONFLICT (storage_id) DO UPDATE SET state = new_state, refusing = is_refusing;
    IF new_state = 'purging' THEN  -- what never came there need not go
        DELETE FROM storage_copies WHERE storage_id = of_storage AND state IN ('waiting', 'failed');
    END IF;
    IF pace <> '' THEN
        UPDATE storage_providers SET failures = 0, resume_at = '-infinity', asked = asked + (pace = 'again')::int
        WHERE storage_id = of_storage;
        UPDATE storage_copies SET due_at = now() WHERE storage_id = of_storage AND state = 'waiting';
    END IF;
    DELETE FROM storage_secrets WHERE storage_id = of_storage AND field = ANY (fields);
    INSERT INTO storage_secrets (storage_id, field, sealed)
    SELECT of_storage, s.field, s.sealed FROM unnest(fields, seals) AS s (field, sealed) WHERE s.sealed <> '';
    RETURN true;
END
$$;

-- Webhooks of users: the cache service's own index, written in the transaction of the append that changes one. sealed:
-- the secret, sealed by the gateway; the only place where it is kept. since: it is told of what has a later position in
-- the one order of all events. failures, resume_at: since when it does not take what it is told, and when it is tried
-- again. gave_up: notices in a row that it never took.
CREATE TABLE IF NOT EXISTS webhooks (
    webhook_id text        PRIMARY KEY,
    owner      text        NOT NULL,
    url        text        NOT NULL,
    events     text[]      NOT NULL,
    enabled    boolean     NOT NULL,
    sealed     bytea       NOT NULL,
    since      bigint      NOT NULL,
    failures   integer     NOT NULL DEFAULT 0,
    gave_up    integer     NOT NULL DEFAULT 0,
    resume_at  timestamptz NOT NULL DEFAULT '-infinity'
);
CREATE INDEX IF NOT EXISTS webhooks_owner ON webhooks (owner);

-- What they are still to be told, one row for each notice- stream that is not settled; due_at of one that is taken: when
-- its sender counts as dead. until: when it is tried for the last time. over: it was given up, and is still to be put
-- among the dead letters.
CREATE TABLE IF NOT EXISTS webhook_notices (
    notice_id  text        PRIMARY KEY,
    webhook_id text        NOT NULL,
    body       bytea       NOT NULL,
    attempt    integer     NOT NULL DEFAULT 0,
    due_at     timestamptz NOT NULL DEFAULT now(),
    until      timestamptz NOT NULL,
    taken      boolean     NOT NULL DEFAULT false,
    over       boolean     NOT NULL DEFAULT false,
    status     integer     NOT NULL DEFAULT 0,
    last_error text        NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS webhook_notices_due ON webhook_notices (due_at);
CREATE INDEX IF NOT EXISTS webhook_notices_webhook ON webhook_notices (webhook_id, due_at);

-- What a change of a webhook means for its rows. An empty of_owner: it is gone. An empty seal: the secret stays. resume:
-- what waits is tried at once, and for as long as if it were new. AD002: its owner has as many as one may.
CREATE OR REPLACE FUNCTION webhook_change(
    of_webhook text, of_owner text, to_url text, of_events text[], is_enabled boolean, seal bytea, resume boolean,
    most bigint, last_s double precision
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF of_owner = '' THEN
        DELETE FROM webhook_notices WHERE webhook_id = of_webhook;
        DELETE FROM webhooks WHERE webhook_id = of_webhook;
        RETURN true;
    END IF;
    PERFORM pg_advisory_xact_lock(74120005, hashtext(of_owner));
    IF NOT EXISTS (SELECT FROM webhooks WHERE webhook_id = of_webhook)
        AND (SELECT count(*) FROM webhooks WHERE owner = of_owner) >= most THEN
        RAISE EXCEPTION 'this owner has % webhooks', most USING ERRCODE = 'AD002', DETAIL = '{}';
    END IF;
    INSERT INTO webhooks AS w (webhook_id, owner, url, events, enabled, sealed, since)
    VALUES (
        of_webhook, of_owner, to_url, of_events, is_enabled, seal, coalesce((SELECT max(position) FROM es_log), 0)
    )
    ON CONFLICT (webhook_id) DO UPDATE SET url = to_url, events = of_events, enabled = is_enabled,
        sealed = CASE seal WHEN '' THEN w.sealed ELSE seal END,
        since = CASE WHEN is_enabled AND NOT w.enabled THEN EXCLUDED.since ELSE w.since END;
    IF resume THEN
        UPDATE webhooks SET failures = 0, gave_up = 0, resume_at = '-infinity' WHERE webhook_id = of_webhook;
        UPDATE webhook_notices SET due_at = now(), until = now() + make_interval(secs => last_s)
        WHERE webhook_id = of_webhook AND NOT taken;
    END IF;
    RETURN true;
END
$$;

-- Note what a webhook is to be told, from the beginning. AD003: it is gone, or told nothing for now.
CREATE OR REPLACE FUNCTION webhook_note(
    of_notice text, of_webhook text, said bytea, last_s double precision
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM webhooks WHERE webhook_id = of_webhook AND enabled FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'webhook % is told nothing', of_webhook USING ERRCODE = 'AD003', DETAIL = '{}';
    END IF;
    INSERT INTO webhook_notices (notice_id, webhook_id, body, until)
    VALUES (of_notice, of_webhook, said, now() + make_interval(secs => last_s))
    ON CONFLICT (notice_id) DO UPDATE SET body = said, attempt = 0, due_at = now(), until = EXCLUDED.until,
        taken = false, over = false, status = 0, last_error = '';
    RETURN true;
END
$$;

-- Note that a webhook took what it was told, or that it was given up.
CREATE OR REPLACE FUNCTION webhook_settle(of_notice text, of_webhook text, delivered boolean)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF delivered THEN
        DELETE FROM webhook_notices WHERE notice_id = of_notice;
        UPDATE webhooks SET failures = 0, gave_up = 0, resume_at = '-infinity'
        WHERE webhook_id = of_webhook AND (failures > 0 OR gave_up > 0);
    ELSE
        UPDATE webhook_notices SET over = true, taken = false, due_at = now() WHERE notice_id = of_notice;
        UPDATE webhooks SET gave_up = gave_up + 1 WHERE webhook_id = of_webhook;
    END IF;
    RETURN true;
END
$$;

-- Who people are: the only place where it is kept, so that a person can be erased. actor: URL of the person at L2.
CREATE TABLE IF NOT EXISTS auth_people (
    user_id   text        PRIMARY KEY,
    actor     text        NOT NULL UNIQUE,
    name      text        NOT NULL,
    domain    text        NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS auth_people_name ON auth_people (name);

-- Tokens that are or were attached: the auth service's own index, written in the transaction of the append that
-- attaches or revokes. Whether one counts is decided by its stream and its holder's. expires_at: unix seconds, 0: never.
CREATE TABLE IF NOT EXISTS auth_tokens (
    token_hash  text        PRIMARY KEY,
    user_id     text        NOT NULL,
    expires_at  bigint      NOT NULL,
    attached_at timestamptz NOT NULL DEFAULT now(),
    revoked_at  timestamptz
);
CREATE INDEX IF NOT EXISTS auth_tokens_user ON auth_tokens (user_id);
CREATE INDEX IF NOT EXISTS auth_tokens_revoked ON auth_tokens (revoked_at) WHERE revoked_at IS NOT NULL;

-- Names (SHA-256) whose tokens L2 has lately revoked: whoever asked L2 before that has to ask again.
CREATE TABLE IF NOT EXISTS auth_logouts (
    name_hash text        PRIMARY KEY,
    at        timestamptz NOT NULL
);

-- Programs that wait to be signed in (RFC 8628); codes and tokens as SHA-256.
CREATE TABLE IF NOT EXISTS auth_grants (
    device_hash text        PRIMARY KEY,
    code_hash   text        NOT NULL UNIQUE,
    token_hash  text        NOT NULL,
    client      text        NOT NULL,
    state       text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'allowed', 'denied')),
    user_id     text        NOT NULL DEFAULT '',
    generation  bigint      NOT NULL DEFAULT 0,
    begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    polled_at   timestamptz,
    taken_at    timestamptz
);
CREATE INDEX IF NOT EXISTS auth_grants_begun ON auth_grants (begun_at);

-- Wrong codes that people gave, so that nobody tries many.
CREATE TABLE IF NOT EXISTS auth_guesses (
    user_id text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS auth_guesses_user ON auth_guesses (user_id, at);

-- Note that a token is attached. AD003: its holder's tokens were all revoked since the generation was read, or the
-- holder was erased: nobody is signed in as one who means nobody. Whoever revokes has the lock alone, and then sees
-- every token that was attached before.
CREATE OR REPLACE FUNCTION auth_attach(of_token text, of_user text, of_generation bigint, until_s bigint)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(74120003, hashtext(of_user));
    IF of_generation <> (
        SELECT count(*) FROM es_events WHERE stream = 'user-' || of_user AND type = 'UserTokensRevoked'
    ) OR EXISTS (SELECT FROM es_events WHERE stream = 'user-' || of_user AND type = 'UserErased') THEN
        RAISE EXCEPTION 'all tokens of % were revoked', of_user USING ERRCODE = 'AD003', DETAIL = '{}';
    END IF;
    INSERT INTO auth_tokens (token_hash, user_id, expires_at) VALUES (of_token, of_user, until_s)
    ON CONFLICT DO NOTHING;
    RETURN true;
END
$$;

-- Note that a token is refused, also one that was never attached.
CREATE OR REPLACE FUNCTION auth_refuse(of_token text, of_user text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO auth_tokens (token_hash, user_id, expires_at, revoked_at) VALUES (of_token, of_user, 0, now())
    ON CONFLICT (token_hash) DO UPDATE SET revoked_at = coalesce(auth_tokens.revoked_at, now());
    RETURN true;
END
$$;

-- Note that all tokens of a user are refused.
CREATE OR REPLACE FUNCTION auth_refuse_all(of_user text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(74120003, hashtext(of_user));
    UPDATE auth_tokens SET revoked_at = now() WHERE user_id = of_user AND revoked_at IS NULL;
    RETURN true;
END
$$;

-- Forget who a user is. The id stays in events, and means nobody.
CREATE OR REPLACE FUNCTION auth_forget(of_user text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM auth_refuse_all(of_user);
    DELETE FROM auth_people WHERE user_id = of_user;
    DELETE FROM auth_grants WHERE user_id = of_user;
    DELETE FROM auth_guesses WHERE user_id = of_user;
    RETURN true;
END
$$;

-- Activities that the registry has not decided on: the cache service's queue, written in the transaction of the append
-- that makes or settles one. n: those about the same content and owner go out in this order. body: what was sent, the
-- same each time. told: due_at is what the registry asked for.
CREATE TABLE IF NOT EXISTS deliveries (
    activity_id text        PRIMARY KEY,
    n           bigint      GENERATED ALWAYS AS IDENTITY,
    cid         text        NOT NULL,
    owner       text        NOT NULL,
    attempt     integer     NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT now(),
    told        boolean     NOT NULL DEFAULT false,
    last_error  text        NOT NULL DEFAULT '',
    body        bytea
);
CREATE INDEX IF NOT EXISTS deliveries_order ON deliveries (cid, owner, n);

-- What the attempts at steps said, one row an attempt that ended; removed by the cache service when they are old.
CREATE TABLE IF NOT EXISTS step_logs (
    cache_id  text        NOT NULL,
    attempt   integer     NOT NULL,
    executor  text        NOT NULL,
    began_at  timestamptz NOT NULL,
    ended_at  timestamptz NOT NULL DEFAULT now(),
    text      text        NOT NULL,
    truncated boolean     NOT NULL,
    PRIMARY KEY (cache_id, attempt)
);
CREATE INDEX IF NOT EXISTS step_logs_ended_at ON step_logs (ended_at);

-- Keep what an attempt said, with the event that ends it.
CREATE OR REPLACE FUNCTION step_log_keep(
    of_step text, of_attempt integer, by_executor text, began timestamptz, said text, cut boolean
) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM es_check(ARRAY['step-' || of_step], '{}', '{}');
    INSERT INTO step_logs (cache_id, attempt, executor, began_at, text, truncated)
    VALUES (of_step, of_attempt, by_executor, began, said, cut) ON CONFLICT DO NOTHING;
    RETURN true;
END
$$;

-- Public halves of the key that this server signs with, as the cache service announces them; the newest counts.
CREATE TABLE IF NOT EXISTS actor_keys (
    pem          text        PRIMARY KEY,
    announced_at timestamptz NOT NULL DEFAULT now()
);

-- What publishing (a holder begins to need content) or unpublishing (one ceases to) means for content and the queue.
CREATE OR REPLACE FUNCTION delivery_change(
    begins text, cids text[], kinds text[], stamps bigint[], sizes bigint[], ends text,
    of_cid text, of_owner text, activities text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF begins <> '' THEN
        PERFORM content_hold(begins, of_owner, 0, cids, kinds, stamps, sizes, '', false);
    END IF;
    IF ends <> '' THEN
        PERFORM content_release(ends, '{}', '');
    END IF;
    INSERT INTO deliveries (activity_id, cid, owner)
    SELECT a.id, of_cid, of_owner FROM unnest(activities) WITH ORDINALITY a (id, o) ORDER BY a.o;
    RETURN true;
END
$$;

-- Note that the registry has decided on an activity.
CREATE OR REPLACE FUNCTION delivery_settled(of_activity text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM deliveries WHERE activity_id = of_activity;
    RETURN true;
END
$$;
