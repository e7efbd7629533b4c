-- policy.listener: what the SMTP server must know: the gateway's settings and which domains are ours.
-- Who: ll_receive.
-- Promises: one row: revision, settings (name to value, those set at gateway level), and three arrays of one length for the
--   domains. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.listener()
RETURNS TABLE (revision bigint, settings jsonb, names text[], internal boolean[], organisations uuid[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN QUERY
    SELECT r.revision,
           (SELECT coalesce(jsonb_object_agg(s.name, s.value), '{}'::jsonb) FROM policy.setting s
            WHERE s.level = 'gateway' AND s.scope = ''),
           ARRAY(SELECT d.name FROM policy.domain d ORDER BY d.name),
           ARRAY(SELECT d.internal FROM policy.domain d ORDER BY d.name),
           ARRAY(SELECT d.organisation FROM policy.domain d ORDER BY d.name)
    FROM policy.revision r;
END
$$;
ALTER FUNCTION policy.listener OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.listener FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.listener TO ll_receive;
