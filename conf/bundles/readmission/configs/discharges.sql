-- One row a discharge from a stay in bed: does the patient come back through the emergency department within thirty
-- days? Everything on the right of the label was known when the patient left. Dates may be instants or days: what
-- happened on one day has no order, and is taken together. Parts of a stay (part_of_key) are no stays of their own; what
-- was found and given in them was so in the stay.
WITH visits AS (
    SELECT
        patient_key,
        encounter_key,
        to_json(encounter) ->> '$.part_of_key' AS part_of_key,
        class,
        period_start::TIMESTAMPTZ AS starts,
        period_end::TIMESTAMPTZ AS ends
    FROM encounter
    WHERE period_start IS NOT NULL
),
parts AS (
    SELECT encounter_key AS part_key, coalesce(part_of_key, encounter_key) AS encounter_key FROM visits
),
discharges AS (
    SELECT * FROM visits WHERE class = 'IMP' AND ends IS NOT NULL AND part_of_key IS NULL
),
last_results AS (
    SELECT encounter_key, code_loinc, avg(value_quantity) AS value
    FROM (
        SELECT p.encounter_key, o.code_loinc, o.value_quantity
        FROM observation AS o JOIN parts AS p ON p.part_key = o.encounter_key
        WHERE o.value_quantity IS NOT NULL AND o.code_loinc IN ('718-7', '2951-2', '14682-9', '1988-5')
        QUALIFY rank() OVER (PARTITION BY p.encounter_key, o.code_loinc ORDER BY o.effective DESC NULLS LAST) = 1
    )
    GROUP BY encounter_key, code_loinc
),
laboratory AS (
    SELECT
        encounter_key,
        max(value) FILTER (code_loinc = '718-7') AS haemoglobin,
        max(value) FILTER (code_loinc = '2951-2') AS sodium,
        max(value) FILTER (code_loinc = '14682-9') AS creatinine,
        max(value) FILTER (code_loinc = '1988-5') AS c_reactive_protein
    FROM last_results
    GROUP BY encounter_key
),
treatment AS (
    SELECT p.encounter_key, count(DISTINCT m.medication_atc) AS medicines
    FROM medication_request AS m JOIN parts AS p ON p.part_key = m.encounter_key
    GROUP BY p.encounter_key
),
history AS (
    SELECT encounter_key, count(DISTINCT code_icd10) AS long_illnesses
    FROM discharges JOIN (
        SELECT patient_key, code_icd10, recorded_date FROM condition WHERE encounter_key IS NULL
    ) AS known USING (patient_key)
    WHERE left(recorded_date, 10) <= strftime(ends, '%Y-%m-%d')
    GROUP BY encounter_key
),
before AS (
    SELECT d.encounter_key, count(*) AS stays_last_year
    FROM discharges AS d JOIN discharges AS o USING (patient_key)
    WHERE o.starts <= d.starts AND o.starts >= d.starts - INTERVAL 365 DAY
    GROUP BY d.encounter_key
),
unplanned AS (
    SELECT DISTINCT d.encounter_key
    FROM discharges AS d JOIN visits AS e USING (patient_key)
    WHERE e.class = 'EMER' AND e.starts BETWEEN d.starts - INTERVAL 1 DAY AND d.starts + INTERVAL 1 HOUR
),
returns AS (
    SELECT DISTINCT d.encounter_key
    FROM discharges AS d JOIN visits AS e USING (patient_key)
    WHERE e.class = 'EMER' AND e.starts > d.ends AND e.starts <= d.ends + INTERVAL 30 DAY
)
SELECT
    d.patient_key,
    (r.encounter_key IS NOT NULL)::INTEGER AS label,
    year(d.ends) - try_cast(left(p.birth_date, 4) AS INTEGER) AS age,
    (p.gender = 'female')::INTEGER AS female,
    date_diff('minute', d.starts, d.ends) / 1440 AS days,
    b.stays_last_year,
    (u.encounter_key IS NOT NULL)::INTEGER AS unplanned,
    coalesce(h.long_illnesses, 0) AS long_illnesses,
    coalesce(t.medicines, 0) AS medicines,
    l.haemoglobin,
    l.sodium,
    l.creatinine,
    l.c_reactive_protein,
    p.gender AS group_sex,
    CASE
        WHEN year(d.ends) - try_cast(left(p.birth_date, 4) AS INTEGER) < 50 THEN '18-49'
        WHEN year(d.ends) - try_cast(left(p.birth_date, 4) AS INTEGER) < 75 THEN '50-74'
        ELSE '75+'
    END AS group_age
FROM discharges AS d
JOIN patient AS p USING (patient_key)
LEFT JOIN before AS b USING (encounter_key)
LEFT JOIN unplanned AS u USING (encounter_key)
LEFT JOIN history AS h USING (encounter_key)
LEFT JOIN treatment AS t USING (encounter_key)
LEFT JOIN laboratory AS l USING (encounter_key)
LEFT JOIN returns AS r USING (encounter_key)
