-- One row a stay in bed of an extract that holds the summary of stays instead of their events: the features are those
-- of its columns that the extract has, as coarse as they are there.
SELECT
    patient_key,
    returned AS label,
    COLUMNS(lambda name: name IN ('age', 'unplanned', 'days', 'stays_last_year', 'long_illnesses', 'treatments')),
    coalesce(to_json(stay_summary) ->> '$.gender', 'unknown') AS group_sex,
    CASE
        WHEN (to_json(stay_summary) ->> '$.age')::INTEGER < 50 THEN '18-49'
        WHEN (to_json(stay_summary) ->> '$.age')::INTEGER < 75 THEN '50-74'
        WHEN (to_json(stay_summary) ->> '$.age')::INTEGER >= 75 THEN '75+'
        ELSE 'unknown'
    END AS group_age
FROM stay_summary
