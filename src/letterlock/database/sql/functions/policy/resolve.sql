-- policy.resolve: the effective values of an address, each from the level that wins.
-- Who: fn_policy itself (settings_for, explain), fn_ca (take_wanted, settings_for), fn_pki (exports_untold).
-- Promises: for each address (compared in lower case) and each setting that is set at some level: the value of the last of
--   gateway, organisation of its domain (or of the nearest wildcard domain above it), wildcard (the longest that fits),
--   domain, user. What is absent has its factory value.
--   origin: the scope it was set for ('' for the gateway). '*.example.org' fits names below example.org, not itself.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.resolve(p_addresses text[])
RETURNS TABLE (address text, name text, value jsonb, level text, origin text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH who AS (
        SELECT u.address, lower(u.address) AS lowered, split_part(lower(u.address), '@', -1) AS domain
        FROM (SELECT DISTINCT a.address FROM unnest(p_addresses) AS a (address)) u
    ), names AS (
        SELECT w.address, 'domain' AS level, w.domain AS scope, 200 AS rank FROM who w
        UNION ALL
        SELECT w.address, 'wildcard', '*.' || array_to_string((l.labels)[i.n:], '.'), 100 - i.n
        FROM who w CROSS JOIN LATERAL (SELECT string_to_array(w.domain, '.') AS labels) l
             CROSS JOIN LATERAL generate_series(2, least(cardinality(l.labels), 90)) AS i (n)
    ), scopes AS (
        SELECT n.address, n.level, n.scope, n.rank FROM names n
        UNION ALL
        SELECT w.address, 'gateway', '', 0 FROM who w
        UNION ALL
        SELECT o.address, 'organisation', o.organisation::text, 1
        FROM (SELECT DISTINCT ON (n.address) n.address, d.organisation
              FROM names n JOIN policy.domain d ON d.name = n.scope ORDER BY n.address, n.rank DESC) o
        UNION ALL
        SELECT w.address, 'user', w.lowered, 300 FROM who w
    )
    SELECT DISTINCT ON (c.address, s.name) c.address, s.name, s.value, s.level::text, s.scope
    FROM scopes c JOIN policy.setting s ON s.level = c.level AND s.scope = c.scope
    ORDER BY c.address, s.name, c.rank DESC;
END
$$;
ALTER FUNCTION policy.resolve OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.resolve FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.resolve TO fn_ca, fn_pki;
