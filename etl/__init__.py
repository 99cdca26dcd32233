"""The wing that turns FHIR into pseudonymised tables; it knows neither the roof nor the other wings."""
