-- audit.encode: committed audit rows in their fixed encoding, one after another, ordered by (xid, id).
-- Who: the definer roles of audit and keyholder only.
-- Promises: from p_from on, rows of transactions that were over when asked (xid below the oldest running one), so that no
--   row can later appear inside a range once given; whole transactions only; about p_limit rows. upto: where to go on.
--   Row: version 1 (1 octet), day (4: days since 2000-01-01), xid (8), id (16), at (8: microseconds since 2000-01-01 UTC),
--   ok (1), then db_role, principal, organisation, action, object, detail, each as length (4; -1: null) and octets
--   (text in UTF-8, uuid 16 octets, detail as jsonb prints). All big-endian. audit/chain.py is its twin; a test compares.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION audit.encode(
    p_from bigint, p_upto bigint, p_limit int, OUT blob bytea, OUT rows int, OUT upto bigint
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_last bigint;
BEGIN
    upto := least(p_upto, pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
    SELECT e.xid::text::bigint INTO v_last FROM audit.entry e
    WHERE e.xid >= p_from::text::xid8 AND e.xid < upto::text::xid8
    ORDER BY e.xid, e.id OFFSET p_limit - 1 LIMIT 1;
    IF FOUND THEN
        upto := v_last + 1;
    END IF;
    SELECT coalesce(string_agg(
        '\x01'::bytea || date_send(e.day) || int8send(e.xid::text::bigint) || uuid_send(e.id) || timestamptz_send(e.at)
        || CASE WHEN e.ok THEN '\x01'::bytea ELSE '\x00'::bytea END
        || int4send(length(convert_to(e.db_role, 'UTF8'))) || convert_to(e.db_role, 'UTF8')
        || coalesce(int4send(length(convert_to(e.principal, 'UTF8'))) || convert_to(e.principal, 'UTF8'), int4send(-1))
        || coalesce(int4send(16) || uuid_send(e.organisation), int4send(-1))
        || int4send(length(convert_to(e.action, 'UTF8'))) || convert_to(e.action, 'UTF8')
        || coalesce(int4send(16) || uuid_send(e.object), int4send(-1))
        || coalesce(int4send(length(convert_to(e.detail::text, 'UTF8'))) || convert_to(e.detail::text, 'UTF8'),
                    int4send(-1)),
        ''::bytea ORDER BY e.xid, e.id), ''::bytea), count(*)
    INTO blob, rows
    FROM audit.entry e
    WHERE e.xid >= p_from::text::xid8 AND e.xid < upto::text::xid8;
END
$$;
ALTER FUNCTION audit.encode OWNER TO fn_audit;
REVOKE ALL ON FUNCTION audit.encode FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.encode TO fn_keyholder;
