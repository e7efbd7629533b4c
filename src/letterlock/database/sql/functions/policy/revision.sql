-- policy.revision: the number of the present state of settings, domains, certificates and anchors.
-- Who: ll_receive, ll_flow, ll_deliver: read again what was cached when it has grown.
-- Promises: grows with every change. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.revision() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v bigint;
BEGIN
    SELECT r.revision INTO v FROM policy.revision r;
    RETURN v;
END
$$;
ALTER FUNCTION policy.revision OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.revision FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.revision TO ll_receive, ll_flow, ll_deliver;
