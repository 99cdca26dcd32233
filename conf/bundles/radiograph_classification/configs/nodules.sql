-- Every chest radiograph that has a report: does the report's conclusion say R91, an abnormal finding of the lung?
SELECT
    image.series_uid_key,
    max(coalesce(list_contains(report.conclusion_code_all, 'R91'), FALSE)::INTEGER) AS label,
    any_value(patient.gender) AS group_sex
FROM dicom_series AS image
JOIN imaging_series AS series USING (series_uid_key)
JOIN diagnostic_report AS report ON list_contains(report.imaging_study_keys, series.imaging_series_key)
JOIN patient ON patient.patient_key = image.patient_key
WHERE image.kind = 'radiograph' AND image.body_part = 'CHEST'
GROUP BY image.series_uid_key
