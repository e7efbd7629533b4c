-- policy.grow_revision: something that decisions depend on has changed.
-- Who: the definer roles of policy and pki only.
-- Promises: the revision is larger than any seen before, once this commits.
-- Locks: the one row, until the end of the transaction. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION policy.grow_revision() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v bigint;
BEGIN
    UPDATE policy.revision r SET revision = r.revision + 1 RETURNING r.revision INTO v;
    RETURN v;
END
$$;
ALTER FUNCTION policy.grow_revision OWNER TO fn_policy;
REVOKE ALL ON FUNCTION policy.grow_revision FROM PUBLIC;
GRANT EXECUTE ON FUNCTION policy.grow_revision TO fn_pki, fn_ca, fn_acme;
