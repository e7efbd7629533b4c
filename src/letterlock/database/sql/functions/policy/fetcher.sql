-- policy.fetcher: what the fetch station must know: the settings of the gateway that are about fetching.
-- Who: ll_fetch.
-- Promises: one row: revision and settings (name to value, those set at gateway level). Locks: nothing. Raises: nothing.
CREATE OR REPLACE FUNCTION policy.fetcher() RETURNS TABLE (revision bigint, settings jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY
    SELECT r.revision,
           (SELECT coalesce(jsonb_object_agg(s.name, s.value), '{}'::jsonb) FROM policy.setting s
            WHERE s.level = 'gateway' AND s.scope = '' AND s.name IN (
                'crl_interval', 'fetch_networks', 'certificate_directories', 'dnssec_resolver', 'acme_directory'))
    FROM policy.revision r;
END
$$;
ALTER FUNCTION policy.fetcher OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.fetcher FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.fetcher TO ll_fetch;
