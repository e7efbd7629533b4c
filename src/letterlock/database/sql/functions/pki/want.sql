-- pki.want: note what is missing for the fetch station, and learn what is known of it already.
-- Who: ll_flow.
-- Promises: one row for each place in the arrays (names: a URL, or an address in match form; abouts: DER CertID for 'ocsp',
--   else ''), each thing noted once however often it is asked for. open: it is being fetched, somebody may wait for it.
--   Not open: answer says why (found, absent, failed, refused); 'failed' also while its server is left alone, and when
--   nobody has answered for a minute. What was found or absent too long ago is due again at once, and so is what was
--   not found before the settings of fetching changed. Commits asynchronously: a note lost in a crash is made again.
-- Locks: the rows of the things, in the order of their digests. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.want(p_kinds text[], p_names text[], p_abouts bytea[], p_hosts text[])
RETURNS TABLE (place int, open boolean, answer text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
DECLARE
    v_changed timestamptz := coalesce((
        SELECT max(s.set_at) FROM policy.setting s WHERE s.level = 'gateway' AND s.name IN (
            'fetch_networks', 'certificate_directories', 'dnssec_resolver')), '-infinity');
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT u.place::int, u.kind, u.name, u.about, u.host,
               sha256(convert_to(u.kind || ' ' || u.name || ' ', 'UTF8') || u.about) AS digest
        FROM unnest(p_kinds, p_names, p_abouts, p_hosts) WITH ORDINALITY AS u (kind, name, about, host, place)
    ), noted AS (
        INSERT INTO pki.wanted AS w (digest, kind, name, about, host, wanted_at, open_since, due_at)
        SELECT DISTINCT ON (a.digest) a.digest, a.kind, a.name, a.about, a.host, statement_timestamp(),
               statement_timestamp(), statement_timestamp()
        FROM asked a ORDER BY a.digest
        ON CONFLICT (digest) DO UPDATE
        SET wanted_at = statement_timestamp(),
            open_since = CASE WHEN (w.good_until <= statement_timestamp() AND w.open_since < w.answered_at)
                                   OR (w.answer <> 'found' AND w.answered_at < v_changed AND w.open_since < v_changed)
                              THEN statement_timestamp() ELSE w.open_since END,
            due_at = CASE WHEN w.lease IS NULL AND (w.good_until <= statement_timestamp()
                                                    OR (w.answer <> 'found' AND w.answered_at < v_changed))
                          THEN least(w.due_at, statement_timestamp()) ELSE w.due_at END
        RETURNING w.digest, w.answer, coalesce(w.good_until <= statement_timestamp()
                                               OR (w.answer <> 'found' AND w.answered_at < v_changed), true) AS lacking,
                  w.open_since > statement_timestamp() - interval '1 minute' AS fresh
    )
    SELECT a.place, n.lacking AND n.fresh AND b.host IS NULL,
           CASE WHEN NOT n.lacking THEN n.answer::text WHEN n.fresh AND b.host IS NULL THEN '' ELSE 'failed' END
    FROM asked a JOIN noted n ON n.digest = a.digest
    LEFT JOIN pki.host_backoff b ON b.host = a.host AND a.host <> '' AND b.not_before > statement_timestamp()
    ORDER BY a.place;
END
$$;
ALTER FUNCTION pki.want OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.want FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.want TO ll_flow;
