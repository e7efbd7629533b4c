-- audit.make_partitions: a partition of the audit trail for each of the days to come.
-- Who: ll_housekeeping.
-- Promises: from today (UTC) on, p_days days have a partition; those that exist are left alone, and a day whose rows have
--   begun to fill the default partition stays there. Returns how many were made.
-- Locks: audit.entry for a moment (SHARE UPDATE EXCLUSIVE; the default partition ACCESS EXCLUSIVE).
-- Raises: nothing of its own. This is the one function with SQL made up at run time: names and bounds are dates.
CREATE OR REPLACE FUNCTION audit.make_partitions(p_days int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    v_day date := (statement_timestamp() AT TIME ZONE 'UTC')::date;
    v_last date := v_day + least(greatest(p_days, 0), 400);
    v_name text;
    v_made int := 0;
BEGIN
    WHILE v_day < v_last LOOP
        v_name := 'entry_' || to_char(v_day, 'YYYYMMDD');
        IF to_regclass('audit.' || v_name) IS NULL
           AND NOT EXISTS (SELECT 1 FROM audit.entry_other o WHERE o.day = v_day) THEN
            -- a sample of 30,000 rows, with their jsonb sorted, is not to be taken anew every ten seconds of a busy morning
            EXECUTE format('CREATE TABLE audit.%I PARTITION OF audit.entry FOR VALUES FROM (%L) TO (%L) '
                           'WITH (autovacuum_analyze_threshold = 100000)', v_name, v_day, v_day + 1);
            v_made := v_made + 1;
        END IF;
        v_day := v_day + 1;
    END LOOP;
    RETURN v_made;
END
$$;
ALTER FUNCTION audit.make_partitions OWNER TO fn_partition;
REVOKE ALL ON FUNCTION audit.make_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.make_partitions TO ll_housekeeping;
