-- pki.sha1: the SHA-1 digest, by which other programs still name certificates. Only to find one, never to trust it.
-- Who: fn_pki itself (import_certificate, harvest); fn_acme (finish).
-- Promises: the 20 octets of FIPS 180-4 6.1; about a millisecond for a certificate. Locks: nothing. Raises: nothing of its own.
CREATE OR REPLACE FUNCTION pki.sha1(p_octets bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    m CONSTANT bigint := 4294967295;
    v_length int := octet_length(p_octets);
    v bytea := p_octets || '\x80'::bytea
        || decode(repeat('00', (119 - v_length % 64) % 64), 'hex') || int8send(v_length::bigint * 8);
    w bigint[];
    h bigint[] := ARRAY[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    a bigint; b bigint; c bigint; d bigint; e bigint; t bigint;
BEGIN
    FOR v_block IN 0 .. octet_length(v) / 64 - 1 LOOP
        w := NULL;
        FOR i IN 0 .. 15 LOOP
            w[i] := ('x' || encode(substring(v FROM v_block * 64 + i * 4 + 1 FOR 4), 'hex'))::bit(32)::bigint & m;
        END LOOP;
        FOR i IN 16 .. 79 LOOP
            t := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
            w[i] := ((t << 1) | (t >> 31)) & m;
        END LOOP;
        a := h[1]; b := h[2]; c := h[3]; d := h[4]; e := h[5];
        FOR i IN 0 .. 79 LOOP
            t := ((a << 5) | (a >> 27)) + e + w[i] + CASE
                WHEN i < 20 THEN ((b & c) | ((m - b) & d)) + 1518500249
                WHEN i < 40 THEN (b # c # d) + 1859775393
                WHEN i < 60 THEN ((b & c) | (b & d) | (c & d)) + 2400959708
                ELSE (b # c # d) + 3395469782 END;
            e := d; d := c; c := ((b << 30) | (b >> 2)) & m; b := a; a := t & m;
        END LOOP;
        h := ARRAY[(h[1] + a) & m, (h[2] + b) & m, (h[3] + c) & m, (h[4] + d) & m, (h[5] + e) & m];
    END LOOP;
    RETURN decode((SELECT string_agg(lpad(to_hex(x.word), 8, '0'), '' ORDER BY x.place)
                   FROM unnest(h) WITH ORDINALITY AS x (word, place)), 'hex');
END
$$;
ALTER FUNCTION pki.sha1 OWNER TO fn_pki;
REVOKE ALL ON FUNCTION pki.sha1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pki.sha1 TO fn_acme;
