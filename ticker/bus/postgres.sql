-- The bus on PostgreSQL, 13 or later: ticker/bus/postgres.py runs this once per version of it, in
-- the schema {schema} that is named after the bus's prefix. {shape} is made from this text, so
-- processes of two versions do not replace each other's functions.
--
-- Whoever writes entries locks the one row of `cluster` first. The lock is given back only when what
-- was written is to be seen by everybody, so ids come to be seen in their order: a reader that asks
-- for what is newer than the newest it has seen misses nothing. Nobody holds it between two round
-- trips: a step is one call, hence one transaction.

CREATE TABLE IF NOT EXISTS {schema}.cluster (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    protocol integer NOT NULL, -- of whatever version: its name and place stay
    made uuid NOT NULL DEFAULT gen_random_uuid(),
    term text NOT NULL DEFAULT '',
    until timestamptz NOT NULL DEFAULT '-infinity',
    terms bigint NOT NULL DEFAULT 0,
    settled text NOT NULL DEFAULT ''
);

-- A board is where its newest entry leads. News are entries of the board without a name.
CREATE TABLE IF NOT EXISTS {schema}.entries (
    board text NOT NULL,
    id bigint NOT NULL,
    position text NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (board, id)
);

CREATE TABLE IF NOT EXISTS {schema}.boards (
    board text PRIMARY KEY,
    state bytea
);

CREATE TABLE IF NOT EXISTS {schema}.small (
    name text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL,
    until timestamptz,
    PRIMARY KEY (name, key)
);

-- Who is there need not outlast a crash: unlogged, so a beat that changes no lease writes no log.
CREATE UNLOGGED TABLE IF NOT EXISTS {schema}.members (
    member text PRIMARY KEY,
    card bytea NOT NULL,
    at timestamptz NOT NULL
);

-- PostgreSQL empties unlogged tables after every crash: so another token tells of one.
CREATE UNLOGGED TABLE IF NOT EXISTS {schema}.crashes (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    token uuid NOT NULL DEFAULT gen_random_uuid()
);

-- Names what the server remembers with. Where commits are on disk before anybody sees them, a crash
-- forgets nothing, so only another data set or another timeline (a standby took over, or a backup was
-- played back) is another memory; elsewhere a crash is, too.
CREATE OR REPLACE FUNCTION {schema}.memory_{shape}() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    SELECT made || '.' || tableoid INTO name FROM {schema}.cluster;
    BEGIN
        name := name || '.' || left(pg_walfile_name(pg_current_wal_lsn()), 8);
    EXCEPTION WHEN OTHERS THEN -- some hosts do not let one ask
        name := name || '.' || extract(epoch FROM pg_postmaster_start_time());
    END;
    IF current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' THEN
        RETURN name;
    END IF;
    IF NOT EXISTS (SELECT FROM {schema}.crashes) THEN
        INSERT INTO {schema}.crashes DEFAULT VALUES ON CONFLICT DO NOTHING;
    END IF;
    RETURN (SELECT name || '.' || token FROM {schema}.crashes);
END $$;

-- In microseconds. What begins with it is beyond everything before, also what a crash has forgotten.
CREATE OR REPLACE FUNCTION {schema}.clock_{shape}() RETURNS bigint LANGUAGE sql AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
$$;

CREATE OR REPLACE FUNCTION {schema}.beat_{shape}(
    p_protocol integer, p_member text, p_card bytea, p_term text, p_takes boolean, p_lease float8,
    p_settled text, p_memory text, p_forget float8,
    OUT protocol integer, OUT holder text, OUT memory text, OUT told text,
    OUT boards text[], OUT positions text[], OUT ids text[], OUT cards bytea[]
) LANGUAGE plpgsql AS $$
DECLARE
    c {schema}.cluster;
BEGIN
    SELECT * INTO c FROM {schema}.cluster;
    IF NOT FOUND THEN
        INSERT INTO {schema}.cluster (protocol) VALUES (p_protocol) ON CONFLICT DO NOTHING;
        SELECT * INTO c FROM {schema}.cluster;
    END IF;
    protocol := c.protocol;
    IF c.protocol <> p_protocol THEN
        RETURN;
    END IF;
    memory := {schema}.memory_{shape}();
    -- of what only a beat writes a crash may take the latest: it is said again, or was nobody's yet
    PERFORM set_config('synchronous_commit', 'off', true);

    -- members before the lease, always: so no two wait for each other
    INSERT INTO {schema}.members AS m (member, card, at)
        VALUES (p_member, p_card, clock_timestamp())
        ON CONFLICT (member) DO UPDATE SET card = excluded.card, at = excluded.at;
    DELETE FROM {schema}.members WHERE member IN (
        SELECT m.member FROM {schema}.members AS m
        WHERE m.at < clock_timestamp() - p_forget * interval '1 s' FOR UPDATE SKIP LOCKED
    );

    -- after the memory has changed who was the poller comes first: see Beat.may_take
    p_takes := p_takes AND (p_term <> '' OR p_memory IN ('', memory));
    IF c.term = p_term OR (p_takes AND c.until <= clock_timestamp()) THEN
        SELECT * INTO c FROM {schema}.cluster FOR UPDATE;
        IF c.until <= clock_timestamp() THEN
            c.term := '';
        END IF;
        IF c.term <> '' AND c.term = p_term THEN
            c.settled := coalesce(nullif(p_settled, ''), c.settled);
            c.until := clock_timestamp() + p_lease * interval '1 s';
        ELSIF c.term = '' AND p_takes THEN
            c.terms := greatest(c.terms + 1, {schema}.clock_{shape}()); -- also if it was forgotten
            c.term := c.terms || ':' || p_member;
            c.until := clock_timestamp() + p_lease * interval '1 s';
        END IF;
        UPDATE {schema}.cluster
            SET term = c.term, terms = c.terms, until = c.until, settled = c.settled;
    END IF;
    holder := CASE WHEN c.until > clock_timestamp() THEN c.term ELSE '' END;
    told := c.settled;
    SELECT array_agg(b.board), array_agg(e.position) INTO boards, positions
        FROM {schema}.boards AS b CROSS JOIN LATERAL (
            SELECT n.position FROM {schema}.entries AS n
            WHERE n.board = b.board ORDER BY n.id DESC LIMIT 1
        ) AS e;
    SELECT array_agg(m.member), array_agg(m.card) INTO ids, cards FROM {schema}.members AS m
        WHERE m.at >= clock_timestamp() - p_forget * interval '1 s';
END $$;

CREATE OR REPLACE FUNCTION {schema}.resign_{shape}(p_term text) RETURNS void
LANGUAGE sql AS $$
    UPDATE {schema}.cluster SET until = '-infinity' WHERE term = p_term;
$$;

-- Only for whoever holds the lock of `cluster`. Returns the id, the next one unless a line begins.
CREATE OR REPLACE FUNCTION {schema}.add_{shape}(
    p_board text, p_position text, p_data bytea, p_begins boolean, OUT newest bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT max(id) + 1 INTO newest FROM {schema}.entries WHERE board = p_board;
    IF p_begins OR newest IS NULL THEN
        newest := greatest(newest, {schema}.clock_{shape}());
    END IF;
    INSERT INTO {schema}.entries VALUES (p_board, newest, p_position, p_data);
    PERFORM pg_notify({channel}, '');
END $$;

CREATE OR REPLACE FUNCTION {schema}.publish_{shape}(
    p_protocol integer, p_term text, p_board text, p_before text, p_after text, p_entry bytea,
    p_state bytea, p_kept bigint,
    OUT protocol integer, OUT said text, OUT was text
) LANGUAGE plpgsql AS $$
DECLARE
    c {schema}.cluster;
    newest bigint;
BEGIN
    SELECT * INTO c FROM {schema}.cluster FOR UPDATE;
    protocol := c.protocol;
    IF c.protocol <> p_protocol THEN
        RETURN;
    END IF;
    IF c.term IS DISTINCT FROM p_term OR c.until <= clock_timestamp() THEN
        said := 'fenced';
        RETURN;
    END IF;
    SELECT e.position INTO was FROM {schema}.entries AS e
        WHERE e.board = p_board ORDER BY e.id DESC LIMIT 1;
    IF p_before IS NOT NULL AND was IS DISTINCT FROM p_before THEN
        said := 'elsewhere';
        RETURN;
    END IF;
    newest := {schema}.add_{shape}(p_board, p_after, p_entry, p_before IS NULL);
    -- One entry comes, one goes. Only now and then is looked for others that should have gone: that
    -- passes all rows which are still in sight of a long transaction.
    IF p_before IS NULL THEN
        DELETE FROM {schema}.entries WHERE board = p_board AND id < newest;
    ELSIF newest % 100 = 0 THEN
        DELETE FROM {schema}.entries WHERE board = p_board AND id <= newest - p_kept;
    ELSE
        DELETE FROM {schema}.entries WHERE board = p_board AND id = newest - p_kept;
    END IF;
    IF p_state IS NOT NULL OR p_before IS NULL THEN
        INSERT INTO {schema}.boards AS b (board, state) VALUES (p_board, p_state)
            ON CONFLICT (board) DO UPDATE SET state = coalesce(excluded.state, b.state);
    END IF;
    said := 'ok';
END $$;

CREATE OR REPLACE FUNCTION {schema}.forget_{shape}(
    p_protocol integer, p_term text, p_boards text[], OUT protocol integer, OUT said text
) LANGUAGE plpgsql AS $$
DECLARE
    c {schema}.cluster;
BEGIN
    SELECT * INTO c FROM {schema}.cluster FOR UPDATE;
    protocol := c.protocol;
    IF c.protocol <> p_protocol THEN
        RETURN;
    END IF;
    IF c.term IS DISTINCT FROM p_term OR c.until <= clock_timestamp() THEN
        said := 'fenced';
        RETURN;
    END IF;
    DELETE FROM {schema}.entries WHERE board = ANY (p_boards);
    DELETE FROM {schema}.boards WHERE board = ANY (p_boards);
    said := 'ok';
END $$;

CREATE OR REPLACE FUNCTION {schema}.say_{shape}(p_news bytea, p_kept bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM {schema}.cluster FOR UPDATE;
    PERFORM {schema}.add_{shape}('', '', p_news, true);
    DELETE FROM {schema}.entries WHERE board = '' AND id <= (
        SELECT id FROM {schema}.entries WHERE board = '' ORDER BY id DESC LIMIT 1 OFFSET p_kept
    );
END $$;

CREATE OR REPLACE FUNCTION {schema}.put_{shape}(
    p_term text, p_name text, p_keys text[], p_values bytea[], p_gone text[], p_lasts float8
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_term <> '' THEN
        PERFORM FROM {schema}.cluster
            WHERE term = p_term AND until > clock_timestamp() FOR SHARE;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    PERFORM pg_advisory_xact_lock({lock}); -- one at a time: so no two wait for each other
    DELETE FROM {schema}.small AS s WHERE s.until <= clock_timestamp()
        OR (s.name = p_name AND s.key = ANY (p_gone));
    INSERT INTO {schema}.small (name, key, value, until)
        SELECT p_name, n.key, n.value, (SELECT max(until) FROM {schema}.small WHERE name = p_name)
        FROM unnest(p_keys, p_values) AS n (key, value)
        ON CONFLICT (name, key) DO UPDATE SET value = excluded.value;
    IF p_lasts IS NOT NULL THEN
        UPDATE {schema}.small AS s SET until = clock_timestamp() + p_lasts * interval '1 s'
            WHERE s.name = p_name;
    END IF;
    RETURN true;
END $$;
