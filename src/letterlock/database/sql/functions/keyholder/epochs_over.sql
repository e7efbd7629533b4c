-- keyholder.epochs_over: epochs whose day is before p_day and which are not destroyed.
-- Who: ll_keyholder.
-- Promises: verdict 'destroy': no message or delivery hangs on it; 'overdue': something does, which is an alarm and never a
--   reason to destroy. waiting: how many contents hang on it.
-- Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION keyholder.epochs_over(p_day date)
RETURNS TABLE (id uuid, class text, day date, verdict text, waiting bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT x.id, x.class, x.day, CASE WHEN x.waiting = 0 THEN 'destroy' ELSE 'overdue' END, x.waiting
    FROM (SELECT e.id, e.class, e.day,
                 (SELECT count(*) FROM queue.message m WHERE m.day = e.day
                  AND EXISTS (SELECT 1 FROM keyholder.session s WHERE s.id = m.session AND s.epoch = e.id))
                 + (SELECT count(*) FROM queue.delivery y WHERE y.day = e.day
                    AND EXISTS (SELECT 1 FROM keyholder.session s WHERE s.id = y.session AND s.epoch = e.id)) AS waiting
          FROM keyholder.epoch e WHERE e.destroyed_at IS NULL AND e.day < p_day) x
    ORDER BY x.day, x.id;
END
$$;
ALTER FUNCTION keyholder.epochs_over OWNER TO fn_keyholder;
REVOKE ALL ON FUNCTION keyholder.epochs_over FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keyholder.epochs_over TO ll_keyholder;
